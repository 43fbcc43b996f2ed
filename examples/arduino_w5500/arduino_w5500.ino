// SensorFlow over HTTP from an Arduino with a W5500 or W5100. Library: "Ethernet".
//
// It measures every two seconds. While the server is away the readings wait here, and go together when it is back.
// It needs no clock: the server's answers set it, and a reading keeps its time when it is sent again, so that it is
// never stored twice.

#include <SPI.h>
#include <Ethernet.h>

byte mac[] = {0xDE, 0xAD, 0xBE, 0xEF, 0xFE, 0x01};  // another one for each board
const char SERVER[] = "192.168.0.10";
const uint16_t PORT = 8000;
const char API_KEY[] = "put the key here";
const char SENSOR_ID[] = "w5500";

const unsigned long EVERY_MS = 2000;
const unsigned long ANSWER_MS = 10000;
const int MAX_WAITING = 16;   // 20 bytes each: an Uno has room for 16, a Mega for 200; the oldest go first
const int MAX_TOGETHER = 16;  // in one request

// What is sent. The lines of the head end in \r\n, the body is one reading a line.
const char HEAD[] =
  "POST %s HTTP/1.1\r\n"
  "Host: %s\r\n"
  "X-API-Key: %s\r\n"
  "Accept: text/plain\r\n"
  "Content-Type: %s\r\n"
  "Content-Length: %u\r\n"
  "\r\n";
const char READING[] =
  "{\"sensor_id\":\"%s\",\"time\":%lu%03u,\"temperature\":%s,\"humidity\":%s,\"pressure\":%s}\n";
const char PING[] = "GET /api/v1/ping HTTP/1.1\r\nHost: %s\r\n\r\n";

struct Reading {
  uint64_t time_ms;  // since 1970; since the start of the board as long as the clock is not set
  float temperature, humidity, pressure;
};

Reading waiting[MAX_WAITING];
int first = 0, count = 0;

EthernetClient client;
uint64_t clock_ms = 0;  // the time when millis() was 0; 0 as long as it is not known
unsigned long measured_at = 0, pause_from = 0, pause_ms = 0;
char text[272];  // the head is the longest: 215 bytes with a key of 59

Reading measure() {
  // Put your sensor here. This is a TMP36 at A0, and two numbers.
  return {now_ms(), analogRead(A0) * 0.4883f - 50.0f, 45.0f, 1013.0f};
}

void setup() {
  Serial.begin(9600);
  while (Ethernet.begin(mac) == 0) Serial.println("no address from DHCP");
  client.setConnectionTimeout(1000);
}

void loop() {
  if (measured_at == 0 || millis() - measured_at >= EVERY_MS) {
    measured_at = millis();
    keep(measure());
  }
  if (count > 0 && millis() - pause_from >= pause_ms) send_waiting();
  Ethernet.maintain();
}

void keep(const Reading& reading) {
  if (count == MAX_WAITING) {  // full: the oldest is lost
    first = (first + 1) % MAX_WAITING;
    count--;
  }
  waiting[(first + count++) % MAX_WAITING] = reading;
}

// Send what waits, and forget what the server has taken, or will never take.
void send_waiting() {
  pause_from = millis();
  pause_ms = EVERY_MS;
  if (!client.connected()) {
    client.stop();
    if (!client.connect(SERVER, PORT)) return;
  }
  if (clock_ms == 0) {
    snprintf(text, sizeof text, PING, SERVER);
    client.print(text);
    if (answer() != 200 || clock_ms == 0) return client.stop();
  }
  int together = count < MAX_TOGETHER ? count : MAX_TOGETHER;
  unsigned length = 0;
  for (int i = 0; i < together; i++) length += line(i);
  const char* path = together > 1 ? "/api/v1/readings" : "/api/v1/temperature_reading";
  const char* type = together > 1 ? "application/x-ndjson" : "application/json";
  snprintf(text, sizeof text, HEAD, path, SERVER, API_KEY, type, length);
  client.print(text);
  for (int i = 0; i < together; i++) {
    line(i);
    client.print(text);
  }
  int status = answer();
  if (status == 0) return client.stop();  // nobody knows: send it again, with the same times
  if (status != 201 && status != 202) Serial.println(text);
  bool again = status == 401 || status == 403 || status == 408 || status == 429 || status >= 500;
  if (again) return;
  first = (first + together) % MAX_WAITING;
  count -= together;
  pause_ms = 0;
}

// Write one of the readings that wait into `text`; its length.
unsigned line(int i) {
  const Reading& reading = waiting[(first + i) % MAX_WAITING];
  char temperature[12], humidity[12], pressure[12];
  dtostrf(reading.temperature, 1, 2, temperature);
  dtostrf(reading.humidity, 1, 2, humidity);
  dtostrf(reading.pressure, 1, 2, pressure);
  return snprintf(text, sizeof text, READING, SENSOR_ID, (unsigned long)(reading.time_ms / 1000),
                  (unsigned)(reading.time_ms % 1000), temperature, humidity, pressure);
}

// The status of the answer, 0 if none came in time. `text` then has its body, of which the first line is enough.
int answer() {
  unsigned long asked = millis();
  if (!read_line(asked)) return 0;
  int status = atoi(text + 9);  // HTTP/1.1 201 Created
  long length = 0;
  while (read_line(asked) && text[0] != 0) {
    if (is_header("x-server-time-us:")) set_clock(text + 17);
    if (is_header("content-length:")) length = atol(text + 15);
    if (is_header("retry-after:")) pause_ms = atol(text + 12) * 1000;
  }
  for (unsigned filled = 0; length > 0; length--) {
    int c = read_byte(asked);
    if (c < 0) return 0;
    if (filled < sizeof text - 1) text[filled++] = c;
    text[filled] = 0;
  }
  return status;
}

// Read one line into `text`, without its end and cut to what fits.
bool read_line(unsigned long asked) {
  unsigned length = 0;
  for (;;) {
    int c = read_byte(asked);
    if (c < 0) return false;
    if (c == '\n') break;
    if (c != '\r' && length < sizeof text - 1) text[length++] = c;
  }
  text[length] = 0;
  return true;
}

int read_byte(unsigned long asked) {
  while (!client.available()) {
    if (!client.connected() || millis() - asked >= ANSWER_MS) return -1;
  }
  return client.read();
}

bool is_header(const char* name) {
  return strncasecmp(text, name, strlen(name)) == 0;
}

void set_clock(const char* digits) {
  uint64_t us = 0;
  for (; *digits; digits++) {
    if (isdigit(*digits)) us = us * 10 + (*digits - '0');
  }
  uint64_t now = us / 1000 - uptime_ms();
  uint64_t off = now > clock_ms ? now - clock_ms : clock_ms - now;
  if (off < 500) return;  // that is how long the answer was on its way
  if (clock_ms == 0) {    // what was measured before gets its time now
    for (int i = 0; i < count; i++) waiting[(first + i) % MAX_WAITING].time_ms += now;
  }
  clock_ms = now;
}

uint64_t now_ms() {
  return clock_ms + uptime_ms();
}

// millis() that does not begin again after 49 days.
uint64_t uptime_ms() {
  static uint32_t before = 0, rounds = 0;
  uint32_t now = millis();
  if (now < before) rounds++;
  before = now;
  return ((uint64_t)rounds << 32) | now;
}
