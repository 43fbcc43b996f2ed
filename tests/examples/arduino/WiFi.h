// The network of an ESP32, and its clock.
#pragma once
#include "Arduino.h"

class WiFiClient : public Client {};

struct WiFiRadio {
  void begin(const char*, const char*) {}
};
static __attribute__((unused)) WiFiRadio WiFi;

inline void configTime(long, int, const char*) {}
