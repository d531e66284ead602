// rabbitmq-c: a message is handed over by amqp_basic_publish, and comes with the frames that
// amqp_simple_wait_frame_noblock reads.
#include <rabbitmq-c/amqp.h>

#include "tests/bench/probe.h"

extern "C" {

int __real_amqp_basic_publish(amqp_connection_state_t state, amqp_channel_t channel, amqp_bytes_t exchange,
                              amqp_bytes_t routing_key, amqp_boolean_t mandatory, amqp_boolean_t immediate,
                              const amqp_basic_properties_t* properties, amqp_bytes_t body);
int __wrap_amqp_basic_publish(amqp_connection_state_t state, amqp_channel_t channel, amqp_bytes_t exchange,
                              amqp_bytes_t routing_key, amqp_boolean_t mandatory, amqp_boolean_t immediate,
                              const amqp_basic_properties_t* properties, amqp_bytes_t body) {
  bench::NoteCall();
  return __real_amqp_basic_publish(state, channel, exchange, routing_key, mandatory, immediate, properties, body);
}

int __real_amqp_simple_wait_frame_noblock(amqp_connection_state_t state, amqp_frame_t* frame, const timeval* timeout);
int __wrap_amqp_simple_wait_frame_noblock(amqp_connection_state_t state, amqp_frame_t* frame, const timeval* timeout) {
  const int result = __real_amqp_simple_wait_frame_noblock(state, frame, timeout);
  bench::NoteReturn();
  return result;
}

}  // extern "C"
