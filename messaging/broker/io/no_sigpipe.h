#ifndef MESSAGING_BROKER_IO_NO_SIGPIPE_H_
#define MESSAGING_BROKER_IO_NO_SIGPIPE_H_

#include <signal.h>

namespace messaging::io {

// For as long as it lives, a write of its thread to a pipe or connection that nobody reads any more fails with EPIPE
// and does not raise SIGPIPE, which ends a program that did not ask for it. For writes that take no MSG_NOSIGNAL: those
// of pipes, and of client libraries. Costs two or three system calls: a loop's thread blocks the signal once instead.
class NoSigpipe {
 public:
  NoSigpipe();
  ~NoSigpipe();
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace messaging::io

#endif  // MESSAGING_BROKER_IO_NO_SIGPIPE_H_
