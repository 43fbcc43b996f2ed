// SensorFlow over MQTT from an ESP32 or ESP8266. Library: "MQTT" by Joël Gähwiler, which publishes with QoS 1: its
// publish() returns true when the broker has the message. (PubSubClient publishes with QoS 0, so it cannot tell.)
//
// It measures every two seconds. While the network is away the readings wait here. A reading keeps its time when it is
// sent again, so that it is never stored twice.

#ifdef ESP8266
#include <ESP8266WiFi.h>
#else
#include <WiFi.h>
#endif
#include <MQTT.h>
#include <sys/time.h>
#include <time.h>

const char WIFI_NAME[] = "your network";
const char WIFI_PASSWORD[] = "its password";
const char SERVER[] = "192.168.0.10";
const int PORT = 1883;
const char USER[] = "device";  // or the board's own, which may then write for the sensor of that name alone
const char PASSWORD[] = "put the password here";
const char SENSOR_ID[] = "esp32";

const unsigned long EVERY_MS = 2000;
const unsigned long RETRY_MS = 2000;
const int MAX_WAITING = 1000;  // 24 bytes each; the oldest go first

// What is sent.
const char TOPIC[] = "sensors/%s/temperature_reading";
const char READING[] = "{\"time\":%lu%03u,\"temperature\":%.2f,\"humidity\":%.2f,\"pressure\":%.2f}";

struct Reading {
  unsigned long s;
  unsigned ms;
  float temperature, humidity, pressure;
};

Reading waiting[MAX_WAITING];
int first = 0, count = 0;

WiFiClient network;
MQTTClient mqtt(256);
unsigned long measured_at = 0, tried_at = 0;

Reading measure() {
  // Put your sensor here.
  timeval now;
  gettimeofday(&now, nullptr);
  return {(unsigned long)now.tv_sec, (unsigned)(now.tv_usec / 1000), 21.5f, 45.0f, 1013.0f};
}

void setup() {
  Serial.begin(115200);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  configTime(0, 0, "pool.ntp.org");  // a time server of your own network does as well
  while (time(nullptr) < 1600000000) delay(100);
  mqtt.begin(SERVER, PORT, network);
  mqtt.setKeepAlive(30);
}

void loop() {
  if (measured_at == 0 || millis() - measured_at >= EVERY_MS) {
    measured_at = millis();
    keep(measure());
  }
  if (mqtt.connected()) mqtt.loop();
  if (count > 0 && (mqtt.connected() || connect_broker())) send_oldest();
}

bool connect_broker() {
  if (tried_at != 0 && millis() - tried_at < RETRY_MS) return false;
  tried_at = millis();
  return mqtt.connect(SENSOR_ID, USER, PASSWORD);
}

void keep(const Reading& reading) {
  if (count == MAX_WAITING) {  // full: the oldest is lost
    first = (first + 1) % MAX_WAITING;
    count--;
  }
  waiting[(first + count++) % MAX_WAITING] = reading;
}

// Send the oldest, and forget it when the broker has it.
void send_oldest() {
  const Reading& oldest = waiting[first];
  char topic[96], payload[160];
  snprintf(topic, sizeof topic, TOPIC, SENSOR_ID);
  snprintf(payload, sizeof payload, READING, oldest.s, oldest.ms, oldest.temperature, oldest.humidity, oldest.pressure);
  if (!mqtt.publish(topic, payload, false, 1)) {
    mqtt.disconnect();  // nobody knows: send it again, with the same time
    return;
  }
  first = (first + 1) % MAX_WAITING;
  count--;
}
