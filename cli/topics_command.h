// `core topics list|describe|declare`.
#ifndef CLI_TOPICS_COMMAND_H_
#define CLI_TOPICS_COMMAND_H_

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/style.h"
#include "messaging/broker/admin.h"

namespace CLI {
class App;
}

namespace messaging::cli {

void AddTopicsCommand(CLI::App& app, Action& chosen);

std::string TopicsTable(const std::vector<TopicInfo>& topics, const Style& style);
std::string TopicJson(const TopicInfo& topic);
// All that is known of one.
std::string TopicPage(const TopicInfo& topic);

}  // namespace messaging::cli

#endif  // CLI_TOPICS_COMMAND_H_
