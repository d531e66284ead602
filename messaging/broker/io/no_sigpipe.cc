#include "messaging/broker/io/no_sigpipe.h"

#include <pthread.h>
#include <time.h>

namespace messaging::io {

NoSigpipe::NoSigpipe() {
  sigemptyset(&pipe_);
  sigaddset(&pipe_, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
}

NoSigpipe::~NoSigpipe() {
  if (sigismember(&before_, SIGPIPE) == 1) return;
  const timespec now = {};
  while (sigtimedwait(&pipe_, nullptr, &now) > 0) continue;  // What was raised meanwhile.
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace messaging::io
