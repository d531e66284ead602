// librdkafka: a message is handed over by rd_kafka_producev, and comes with rd_kafka_consume_batch_queue. The former
// takes a list of arguments without a length, which cannot be passed on: the call for its headers, just before, is
// noted.
#include <librdkafka/rdkafka.h>

#include "tests/bench/probe.h"

extern "C" {

rd_kafka_headers_t* __real_rd_kafka_headers_new(size_t count);
rd_kafka_headers_t* __wrap_rd_kafka_headers_new(size_t count) {
  bench::NoteCall();
  return __real_rd_kafka_headers_new(count);
}

ssize_t __real_rd_kafka_consume_batch_queue(rd_kafka_queue_t* queue, int milliseconds, rd_kafka_message_t** messages,
                                            size_t count);
ssize_t __wrap_rd_kafka_consume_batch_queue(rd_kafka_queue_t* queue, int milliseconds, rd_kafka_message_t** messages,
                                            size_t count) {
  const ssize_t result = __real_rd_kafka_consume_batch_queue(queue, milliseconds, messages, count);
  bench::NoteReturn();
  return result;
}

}  // extern "C"
