// The command line of `core`, for a program with handlers of its own.
//
//   int main(int argc, char** argv) {
//     messaging::Provide<Gateway>(&gateway);
//     return messaging::cli::Main(argc, argv);
//   }
//
// Without anything to provide no main is needed: //cli:main has one that calls it, used where there is no other.
#ifndef CLI_MAIN_H_
#define CLI_MAIN_H_

namespace messaging::cli {

// Runs one command (docs/cli.md has them) over the default client, and shuts that down. The exit code; what they mean
// is in exit_codes.h and under --help. Once in a process, on the main thread. Ignores SIGPIPE, wipes URLs with
// passwords from `argv`, starts glog to standard error unless that was done, and sends the library's log there. Does
// not return when a handler does not: the process ends with that exit code.
int Main(int argc, char** argv);

}  // namespace messaging::cli

#endif  // CLI_MAIN_H_
