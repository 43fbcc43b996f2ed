// What the Arduino IDE puts around a sketch.
#include "Arduino.h"

void setup();
void loop();

SerialPort Serial;

int main() {
  setup();
  for (;;) {
    loop();
    usleep(500);
  }
}
