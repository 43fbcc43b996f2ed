// SensorFlow from a browser, with nothing but what browsers have. index.html beside it is a page that uses it.

/** Store one reading; the record that the server has made of it. Throws what the server says is wrong with it. */
export async function send(url, key, reading) {
  const answer = await fetch(`${url}/api/v1/temperature_reading`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-API-Key": key },
    body: JSON.stringify(reading),
  });
  return result(answer);
}

/** The newest reading of one sensor. */
export async function latest(url, key, sensorId) {
  const path = `/api/v1/sensor/${encodeURIComponent(sensorId)}/latest`;
  return result(await fetch(url + path, { headers: { "X-API-Key": key } }));
}

/** Call `onReading` with each reading from now on; a function that ends it. Connects again when it is cut off. */
export function watch(url, key, onReading) {
  let socket;
  let timer;
  let wait = 500;
  const connect = () => {
    socket = new WebSocket(`${url.replace(/^http/, "ws")}/ws/sensor_updates?api-key=${encodeURIComponent(key)}`);
    socket.onopen = () => (wait = 500);
    socket.onmessage = (message) => onReading(JSON.parse(message.data));
    socket.onclose = () => {
      timer = setTimeout(connect, wait * (1 + Math.random())); // not all browsers at once
      wait = Math.min(wait * 2, 30000);
    };
  };
  connect();
  return () => {
    socket.onclose = null;
    clearTimeout(timer);
    socket.close();
  };
}

async function result(answer) {
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}
