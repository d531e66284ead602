// The conformance suite: one list of cases that runs unchanged over every broker. A broker's own test is a file like
//
//   int main(int argc, char** argv) {
//     messaging::conformance::Environment environment;
//     environment.name = "sqlite";
//     environment.url = [](std::string_view name) { return "sqlite://" + testing::TempDir() + ...; };
//     environment.expected_skips = {{"Reconnect", "there is no server to restart"}};
//     return messaging::conformance::Main(argc, argv, std::move(environment));
//   }
//
// and a target by broker_conformance_test() of defs.bzl. Cases use what a service uses: Client, handlers, Producer. A
// case that the broker cannot pass by its own documented limits is skipped, for a reason that its Capabilities or its
// Environment states; which ones is pinned in expected_skips, so that no case goes missing silently.
#ifndef TESTS_CONFORMANCE_CONFORMANCE_H_
#define TESTS_CONFORMANCE_CONFORMANCE_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/message.h"

namespace messaging::conformance {

struct Environment {
  std::string name;
  // Where the case of that name finds the broker: a place of its own, or a server's address (topics and groups have
  // names of their own for each case and run).
  std::function<std::string(std::string_view case_name)> url;
  std::map<std::string, std::string> native;

  // How long after its end a dead process's messages come to others at most. Redis: the idle time and a scan.
  absl::Duration takeover = absl::Seconds(2);
  // For how long, at most, the server does not know that a message is done: what was, meanwhile, comes again when its
  // member dies, or is thought dead. Zero: what is done is told at once, and counts as in hand until then.
  absl::Duration unconfirmed = absl::ZeroDuration();
  // How many times each point of the crash cases is hit, and how many messages the cases of many messages send.
  int kills = 20;
  int messages = 2'000;
  int fault_messages = 20'000;
  // How many sends of a process a lost connection leaves without an answer, at most, that the broker then has twice, as
  // they are sent again. 0: it, or its driver, tells them from new ones.
  int unanswered_sends = 0;

  // What the broker can be made to suffer. Where one cannot, leave it empty and say why in `cannot`.
  // The dead-letter place refuses, or is gone; the function returned mends it.
  std::function<std::function<void()>(Broker& broker, const std::string& url)> break_dead_letters;
  // No send is answered from now on; the function returned lets answers come again.
  std::function<std::function<void()>(Broker& broker, const std::string& url)> hold_answers;
  // Ends the server, by SIGKILL or as it should be, and starts it again.
  std::function<absl::Status(bool kill)> restart_server;
  // Ends the server; the function returned starts it again, as it was.
  std::function<std::function<absl::Status()>()> take_server_away;
  // With these besides, a consumer that starts and finds no server gives up after about a second.
  std::map<std::string, std::string> impatient;
  // Every connection that clients have is reset, once.
  std::function<absl::Status()> cut_connections;
  // The server takes no more messages, as its memory or disk is full; the function returned makes room.
  std::function<std::function<void()>()> fill_server;
  // What an administrator does by mistake: the topic is gone, with all that groups have in it.
  std::function<absl::Status(const std::string& url, const std::string& topic)> delete_topic;
  // What is told to a server by its users is right no more, and connections end; the function returned mends it.
  std::function<std::function<void()>()> lock_out;
  // The tests' user has no rights to other topics than this from now on; the function returned gives them back.
  std::function<std::function<void()>(const std::string& topic)> allow_only;
  // Servers that a client must not talk to, by why.
  struct Untrusted {
    std::string why, url;
    std::map<std::string, std::string> native;
  };
  std::function<std::vector<Untrusted>()> untrusted;
  // What SIGKILL is to a process, for one consumer of this broker object: what it holds is not settled.
  std::function<void(Broker& broker)> end_uncleanly;
  // Writes a message as another program would, by the broker's own means and without any metadata of this library.
  std::function<absl::Status(const std::string& url, const Message& message)> send_foreign;
  // By the name of the hook: the broker's own limit.
  std::map<std::string, std::string> cannot;

  // Case and reason, all of them.
  std::map<std::string, std::string> expected_skips;
};

// Runs the cases (gtest's flags and sharding work), prints the skips, and checks them against the expected ones.
// Besides gtest's argv may hold --worker=PATH, the program made by conformance_worker() of defs.bzl, for the cases with
// several processes; --faults, to run the faults under load (fault_cases.cc) instead; and --limit=DURATION, how long to
// wait for what has to happen.
int Main(int argc, char** argv, Environment environment);

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_CONFORMANCE_H_
