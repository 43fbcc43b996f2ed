// On the ESP8266 it is called this.
#pragma once
#include "WiFi.h"
