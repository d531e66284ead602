// WorkerOptions as arguments of a program.
#ifndef TESTS_CONFORMANCE_WORKER_OPTIONS_H_
#define TESTS_CONFORMANCE_WORKER_OPTIONS_H_

#include <string>
#include <vector>

#include "tests/conformance/worker.h"

namespace messaging::conformance {

std::vector<std::string> ToArguments(const WorkerOptions& options);
// Ends the program at an argument that it does not know.
WorkerOptions FromArguments(int argc, char** argv);

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_WORKER_OPTIONS_H_
