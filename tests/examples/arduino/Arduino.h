// What the sketches need of a board, on a computer: enough to run them against a real server.
#pragma once
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t byte;
const int A0 = 14;

inline unsigned long millis() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  static const long started = now.tv_sec - 1;
  return (unsigned long)(uint32_t)((now.tv_sec - started) * 1000 + now.tv_nsec / 1000000);
}

inline void delay(unsigned long ms) { usleep(ms * 1000); }
inline int analogRead(int) { return 150; }
inline char* dtostrf(double value, signed char width, unsigned char digits, char* text) {
  sprintf(text, "%*.*f", width, digits, value);
  return text;
}

struct SerialPort {
  void begin(unsigned long) {}
  void println(const char* text) { fprintf(stderr, "%s\n", text); }
};
extern SerialPort Serial;

// A connection by TCP, as the boards' libraries have it.
class Client {
 public:
  int connect(const char* host, uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd, (sockaddr*)&address, sizeof address) == 0) return 1;
    stop();
    return 0;
  }
  void stop() {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  int available() {
    int waiting = 0;
    return fd >= 0 && ioctl(fd, FIONREAD, &waiting) == 0 ? waiting : 0;
  }
  bool connected() {
    char c;
    return fd >= 0 && (available() || (recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN));
  }
  int read() {
    byte c;
    return fd >= 0 && recv(fd, &c, 1, 0) == 1 ? c : -1;
  }
  size_t write(const void* bytes, size_t length) {
    ssize_t sent = fd >= 0 ? ::send(fd, bytes, length, MSG_NOSIGNAL) : -1;
    return sent < 0 ? 0 : sent;
  }
  size_t print(const char* text) { return write(text, strlen(text)); }

 private:
  int fd = -1;
};
