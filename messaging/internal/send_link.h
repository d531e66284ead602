// A place in a ring of sends.
#ifndef MESSAGING_INTERNAL_SEND_LINK_H_
#define MESSAGING_INTERNAL_SEND_LINK_H_

namespace messaging::internal {

// In one ring at most. Whoever owns the ring says who may touch it when.
struct SendLink {
  SendLink* previous = nullptr;
  SendLink* next = nullptr;

  void InsertBefore(SendLink& other) {
    previous = other.previous;
    next = &other;
    previous->next = other.previous = this;
  }
  void Remove() {
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SEND_LINK_H_
