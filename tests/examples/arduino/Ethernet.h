// The library "Ethernet".
#pragma once
#include "Arduino.h"

class EthernetClient : public Client {
 public:
  void setConnectionTimeout(uint16_t) {}
};

struct EthernetCard {
  int begin(byte*) { return 1; }
  int maintain() { return 0; }
};
static __attribute__((unused)) EthernetCard Ethernet;
