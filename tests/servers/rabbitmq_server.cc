#include "tests/servers/rabbitmq_server.h"

#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/servers/certificates.h"
#include "tests/servers/socket.h"

namespace messaging::servers {
namespace {

// Debian's wrapper of the same name switches to a user of its own.
constexpr char kProgram[] = "/usr/lib/rabbitmq/bin/rabbitmq-server";
constexpr char kControl[] = "/usr/lib/rabbitmq/bin/rabbitmqctl";

}  // namespace

RabbitmqServer::RabbitmqServer(RabbitmqOptions options)
    : options_(std::move(options)),
      epmd_("epmd"),
      server_("rabbitmq"),
      port_(FreePort()),
      tls_port_(FreePort()),
      management_port_(FreePort()),
      distribution_port_(FreePort()),
      epmd_port_(FreePort()) {
  const std::string folder = server_.folder();
  environment_ = {
      {"HOME", folder},  // Erlang's cookie is made here.
      {"RABBITMQ_NODENAME", absl::StrCat("test", port_, "@localhost")},
      {"RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1"},
      {"RABBITMQ_NODE_PORT", absl::StrCat(port_)},
      {"RABBITMQ_DIST_PORT", absl::StrCat(distribution_port_)},
      {"ERL_EPMD_ADDRESS", "127.0.0.1"},
      {"ERL_EPMD_PORT", absl::StrCat(epmd_port_)},
      {"RABBITMQ_MNESIA_BASE", folder + "/mnesia"},
      {"RABBITMQ_LOG_BASE", folder + "/logs"},
      {"RABBITMQ_CONFIG_FILE", folder + "/rabbitmq"},
      {"RABBITMQ_ENABLED_PLUGINS_FILE", folder + "/plugins"},
      {"RABBITMQ_PID_FILE", folder + "/pid"},
      {"RABBITMQ_CONF_ENV_FILE", "/dev/null"},
      {"LANG", "C.UTF-8"},
      // Else the port of the distribution listens on all addresses.
      {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}"},
  };
}

std::string RabbitmqServer::Configuration() const {
  std::string text = absl::StrCat("listeners.tcp.1 = 127.0.0.1:", port_, "\n", options_.config, "\n");
  if (options_.management) {
    absl::StrAppend(&text, "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = ", management_port_, "\n");
  }
  if (options_.tls) {
    absl::StrAppend(&text, "listeners.ssl.1 = 127.0.0.1:", tls_port_, "\nssl_options.cacertfile = ", ca_file(),
                    "\nssl_options.certfile = ", server_.folder(),
                    "/server.crt\nssl_options.keyfile = ", server_.folder(), "/server.key\n");
    if (options_.tls_auth_clients) {
      absl::StrAppend(&text, "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n");
    }
    if (options_.tls_log_in) {
      absl::StrAppend(&text, "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n",
                      "ssl_cert_login_from = common_name\n");
    }
  }
  return text;
}

absl::Status RabbitmqServer::Start() {
  if (options_.tls) {
    absl::Status status = MakeAuthority(server_.folder());
    status.Update(MakeCertificate(server_.folder(), "server", {.expired = options_.tls_expired}));
    status.Update(MakeCertificate(server_.folder(), "client"));
    if (!status.ok()) return status;
  }
  server_.WriteFile("rabbitmq.conf", Configuration());
  std::vector<std::string> plugins;
  if (options_.management) plugins.emplace_back("rabbitmq_management");
  if (options_.tls_log_in) plugins.emplace_back("rabbitmq_auth_mechanism_ssl");
  server_.WriteFile("plugins", absl::StrCat("[", absl::StrJoin(plugins, ","), "]."));
  absl::Status status = epmd_.Start(
      {.name = "epmd", .argv = {"epmd", "-address", "127.0.0.1", "-port", absl::StrCat(epmd_port_)}, .ready = [this] {
         // NAMES_REQ; its answer begins with the port.
         return Ask(epmd_port_, std::string_view("\0\x01n", 3), 4).status();
       }});
  if (!status.ok()) return status;
  return server_.Start({.name = "rabbitmq",
                        .argv = {kProgram},
                        .environment = environment_,
                        .ready =
                            [this] {
                              // The frame of Connection.Start begins so. It listens when all else is up.
                              return Ask(port_, std::string_view("AMQP\0\0\x09\x01", 8), 4).status();
                            },
                        .start_limit = absl::Seconds(120),
                        // The Erlang machine; the program itself is the script that started it.
                        .main_process = [this]() -> pid_t {
                          int pid = -1;
                          std::ifstream(server_.folder() + "/pid") >> pid;
                          return pid;
                        }});
}

std::string RabbitmqServer::url(const std::string& virtual_host) const {
  return absl::StrCat("amqp://guest:guest@127.0.0.1:", port_, "/", virtual_host);
}

std::string RabbitmqServer::url_with_management() const {
  return absl::StrCat(url(), "?management_url=http%3A%2F%2Fguest%3Aguest%40127.0.0.1%3A", management_port_);
}

std::string RabbitmqServer::management_url() const {
  return absl::StrCat("http://guest:guest@127.0.0.1:", management_port_);
}

absl::StatusOr<std::string> RabbitmqServer::Control(const std::string& arguments) const {
  return Run(absl::StrCat(kControl, " -q ", arguments, " </dev/null"));
}

absl::StatusOr<std::string> RabbitmqServer::Evaluate(const std::string& expressions) const {
  return Run(absl::StrCat("erl_call -sname ", environment_.at("RABBITMQ_NODENAME"), " -e < ",
                          server_.WriteFile("expressions", expressions + "\n")));  // It wants a line.
}

// A command of the shell, with the server's environment.
absl::StatusOr<std::string> RabbitmqServer::Run(const std::string& command) const {
  std::string all;
  for (const auto& [name, value] : environment_) absl::StrAppend(&all, name, "='", value, "' ");
  absl::StrAppend(&all, command, " 2>&1");
  FILE* const pipe = popen(all.c_str(), "re");
  if (pipe == nullptr) return absl::ErrnoToStatus(errno, "popen");
  std::string output;
  char part[4'096];
  for (size_t n = 0; (n = fread(part, 1, sizeof(part), pipe)) > 0;) output.append(part, n);
  if (const int status = pclose(pipe); status != 0) {
    return absl::InternalError(absl::StrCat(command, ": ", output));
  }
  return output;
}

absl::Status RabbitmqServer::AddVirtualHost(const std::string& name) const {
  absl::Status status = Control(absl::StrCat("add_vhost ", name)).status();
  status.Update(Control(absl::StrCat("set_permissions -p ", name, " guest '.*' '.*' '.*'")).status());
  return status;
}

}  // namespace messaging::servers
