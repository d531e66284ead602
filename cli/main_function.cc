#include "cli/main.h"

// In a file of its own, so that a program with a main of its own links without this one.
int main(int argc, char** argv) { return messaging::cli::Main(argc, argv); }
