// The library "MQTT" by Joël Gähwiler, as far as the sketch needs it: MQTT 3.1.1, publishing with QoS 1.
#pragma once
#include <string>

#include "Arduino.h"

class MQTTClient {
 public:
  explicit MQTTClient(int) {}
  void begin(const char* host, int port, Client& client) {
    this->host = host;
    this->port = port;
    network = &client;
  }
  void setKeepAlive(int s) { keepalive_s = s; }
  bool connected() { return is_connected && network->connected(); }
  bool loop() { return connected(); }

  bool connect(const char* client_id, const char* user, const char* password) {
    is_connected = false;
    network->stop();
    if (!network->connect(host, port)) return false;
    std::string rest = field("MQTT") + std::string("\x04\xc2", 2) + number(keepalive_s);
    send(0x10, rest + field(client_id) + field(user) + field(password));
    std::string answer = receive(4);
    is_connected = answer.size() == 4 && answer[0] == 0x20 && answer[3] == 0;
    return is_connected;
  }

  // True when the broker has it.
  bool publish(const char* topic, const char* payload, bool is_retained, int qos) {
    if (!connected() || qos != 1) return false;
    std::string id = number(++packet_id);
    send(0x30 | qos << 1 | is_retained, field(topic) + id + payload);
    return receive(4) == std::string("\x40\x02", 2) + id;
  }

  bool disconnect() {
    if (connected()) send(0xe0, "");
    network->stop();
    is_connected = false;
    return true;
  }

 private:
  const char* host = nullptr;
  int port = 0, keepalive_s = 10;
  Client* network = nullptr;
  bool is_connected = false;
  uint16_t packet_id = 0;

  static std::string number(uint16_t value) { return {(char)(value >> 8), (char)value}; }
  static std::string field(const std::string& text) { return number(text.size()) + text; }

  void send(int kind, const std::string& rest) {
    std::string packet(1, (char)kind);
    size_t length = rest.size();
    do {
      packet += (char)(length % 128 | (length > 127 ? 128 : 0));
      length /= 128;
    } while (length > 0);
    packet += rest;
    network->write(packet.data(), packet.size());
  }

  std::string receive(size_t length) {
    std::string bytes;
    for (int waited_ms = 0; bytes.size() < length && waited_ms < 5000;) {
      if (network->available()) {
        bytes += (char)network->read();
      } else if (!network->connected()) {
        break;
      } else {
        delay(1);
        waited_ms++;
      }
    }
    return bytes;
  }
};
