// hiredis: a message is handed over by redisBufferWrite, which writes to the socket, and comes with redisBufferRead.
#include <hiredis/hiredis.h>

#include "tests/bench/probe.h"

extern "C" {

int __real_redisBufferWrite(redisContext* context, int* done);
int __wrap_redisBufferWrite(redisContext* context, int* done) {
  bench::NoteCall();
  return __real_redisBufferWrite(context, done);
}

int __real_redisBufferRead(redisContext* context);
int __wrap_redisBufferRead(redisContext* context) {
  const int result = __real_redisBufferRead(context);
  bench::NoteReturn();
  return result;
}

}  // extern "C"
