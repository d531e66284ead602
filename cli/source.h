// Where a setting is from: flag, environment, file or default, as `core config show` and `core check` tell it.
#ifndef CLI_SOURCE_H_
#define CLI_SOURCE_H_

#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/connection.h"
#include "messaging/client_options.h"
#include "messaging/internal/environment.h"

namespace messaging::cli {

std::string FileSource(const Config& config);

// `flag` is what the flag says, `taken` what the flags and the file together do; "" for nothing.
std::string Source(const std::string& flag, const std::string& taken, const std::vector<std::string>& variables,
                   const Config& config);

// The variable that the URL is from: one of another broker says nothing.
std::vector<std::string> UrlVariables(const internal::ResolvedOptions& resolved);

// Of the URL that `options`, made from both (Resolve), came to.
std::string UrlSource(const ConnectionFlags& flags, const Config& config, const ClientOptions& options,
                      const internal::ResolvedOptions& resolved);

}  // namespace messaging::cli

#endif  // CLI_SOURCE_H_
