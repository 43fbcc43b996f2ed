// What a page does with sensorflow.js, on Node: prints what it saw as one line of JSON.
import { latest, send, watch } from "../../examples/browser/sensorflow.js";

const { SENSORFLOW_URL: url, API_KEY: key, API_KEY_WS: liveKey } = process.env;
const good = { sensor_id: "browser", temperature: 21.5, humidity: 45, pressure: 1013 };

const seen = await new Promise((resolve, reject) => {
  const stop = watch(url, liveKey, (reading) => {
    if (reading.sensor_id !== "browser") return;
    clearInterval(sending);
    stop();
    resolve(reading);
  });
  // Until the WebSocket is open nobody hears it, so more than once.
  const sending = setInterval(() => send(url, key, good).catch(reject), 200);
});
const newest = await latest(url, key, "browser");
const refused = await send(url, key, { ...good, humidity: 160 }).catch((error) => error.message);
console.log(JSON.stringify({ seen, newest, refused }));
