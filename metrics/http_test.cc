// The server as its users meet it: over a socket, with a client on the memory broker.
#include "metrics/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/client.h"
#include "messaging/codec.h"
#include "nlohmann/json.hpp"

namespace messaging::metrics {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class HttpTest : public testing::Test {
 protected:
  void SetUp() override {
    auto client =
        Client::Create({.url = absl::StrCat("memory://", testing::UnitTest::GetInstance()->current_test_info()->name()),
                        .group = "shop"});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    client_->Observe(observer_);
    auto server = HttpServer::Start(
        {.address = "127.0.0.1:0", .token = "s3cret", .stuck_after = absl::Milliseconds(50)}, *client_, *observer_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }

  int Connect() {
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address_.substr(address_.rfind(':') + 1), &port));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return fd;
  }
  // The whole answer: status line, headers and body.
  std::string Ask(const std::string& request) {
    const int fd = Connect();
    EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string answer;
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<size_t>(n));
    close(fd);
    return answer;
  }
  std::string Get(const std::string& path) {
    return Ask(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  }
  std::string Post(const std::string& path, const std::string& authorization) {
    return Ask(absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nAuthorization: ",
                            authorization, "\r\n\r\n"));
  }
  static std::string Body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  const std::shared_ptr<PrometheusObserver> observer_ = std::make_shared<PrometheusObserver>();
  absl::Notification called_;
  absl::Notification go_on_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(HttpTest, AConsumersLifeAsProbesSeeIt) {
  client_->AddHandler(MakeHandler("Charge", [](std::string_view) { return absl::OkStatus(); }, {.topics = {"orders"}}));
  EXPECT_THAT(Get("/ready"), HasSubstr("503"));
  EXPECT_EQ(Body(Get("/ready")), "assignment: not joined yet\n");
  EXPECT_EQ(Body(Get("/live")), "ok\n");
  ASSERT_TRUE(client_->Start().ok());
  EXPECT_THAT(Get("/ready"), HasSubstr("200 OK"));
  ASSERT_TRUE(client_->Stop().ok());
  EXPECT_EQ(Body(Get("/ready")), "drain: stopped\n");
  EXPECT_EQ(Body(Get("/live")), "ok\n");
}

TEST_F(HttpTest, AStuckHandlerTurnsLiveAndReadyRedAndIsNamedUntilItReturns) {
  client_->AddHandler(MakeHandler("Charge",
                                  [this](std::string_view) {
                                    if (!called_.HasBeenNotified()) called_.Notify();
                                    go_on_.WaitForNotification();
                                    return absl::OkStatus();
                                  },
                                  {.topics = {"orders"}, .concurrency = 1}));
  ASSERT_TRUE(client_->Start({.concurrency = 1}).ok());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client_->producer().Send(Message{.topic = "orders", .payload = "x"}).Wait().ok());
  }
  called_.WaitForNotification();
  std::string live;
  for (const absl::Time limit = absl::Now() + absl::Minutes(1); absl::Now() < limit;) {  // Time itself is awaited.
    live = Get("/live");
    if (absl::StrContains(live, "503") && absl::StrContains(live, "and 2 more")) break;
  }
  EXPECT_THAT(live, HasSubstr("handler Charge has not returned for "));
  const json status = json::parse(Body(Get("/status")));
  EXPECT_EQ(status.at("live"), false);
  EXPECT_EQ(status.at("ready"), false);
  EXPECT_THAT(std::string(status.at("ready_parts").at("progress")), HasSubstr("handler Charge has not returned for "));
  for (const char* part : {"connection", "assignment", "drain"}) EXPECT_EQ(status.at("ready_parts").at(part), "ok");
  EXPECT_EQ(status.at("assignments").at(0).at("group"), "shop");
  EXPECT_THAT(Get("/ready"), HasSubstr("503"));
  EXPECT_EQ(status.at("in_flight_messages"), 3);
  const json& handler = status.at("handlers").at(0);
  EXPECT_EQ(handler.at("name"), "Charge");
  EXPECT_EQ(handler.at("group"), "shop");
  EXPECT_EQ(handler.at("running"), 1);
  EXPECT_EQ(handler.at("waiting"), 2);
  EXPECT_GT(handler.at("longest_seconds"), 0.05);
  go_on_.Notify();
  ASSERT_TRUE(client_->Stop().ok());
  EXPECT_THAT(Get("/live"), HasSubstr("200 OK"));
}

TEST_F(HttpTest, ABatchAndAnAsynchronousHandlerThatDoNotEndAreSeen) {
  absl::Mutex mutex;
  std::vector<Completion> completions;
  client_->AddHandler(MakeHandler("Async",
                                  [&](std::string_view, Completion completion) {
                                    absl::MutexLock lock(&mutex);
                                    completions.push_back(std::move(completion));
                                  },
                                  {.topics = {"orders"}}));
  ASSERT_TRUE(client_->Start().ok());
  ASSERT_TRUE(client_->producer().Send(Message{.topic = "orders", .payload = "x"}).Wait().ok());
  std::string live;
  for (const absl::Time limit = absl::Now() + absl::Minutes(1); absl::Now() < limit;) {
    live = Get("/live");
    if (absl::StrContains(live, "503")) break;
  }
  EXPECT_THAT(live, HasSubstr("handler Async has not returned for "));
  {
    absl::MutexLock lock(&mutex);
    for (Completion& completion : completions) completion(absl::OkStatus());
  }
  ASSERT_TRUE(client_->Stop().ok());
  EXPECT_THAT(Get("/live"), HasSubstr("200 OK"));
}

TEST_F(HttpTest, MetricsCountWhatWasHandled) {
  client_->AddHandler(MakeHandler("Charge",
                                  [this](std::string_view) {
                                    called_.Notify();
                                    return absl::OkStatus();
                                  },
                                  {.topics = {"orders"}}));
  ASSERT_TRUE(client_->Start().ok());
  ASSERT_TRUE(client_->producer().Send(Message{.topic = "orders", .payload = "x"}).Wait().ok());
  called_.WaitForNotification();
  ASSERT_TRUE(client_->Stop().ok());
  const std::string answer = Get("/metrics");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("messaging_handled_messages_total{handler=\"Charge\",topic=\"orders\",code=\"OK\"} 1"));
}

TEST_F(HttpTest, PausesAndResumesForWhoHasTheToken) {
  absl::Notification handled;
  client_->AddHandler(MakeHandler("Charge",
                                  [&handled](std::string_view) {
                                    handled.Notify();
                                    return absl::OkStatus();
                                  },
                                  {.topics = {"orders"}}));
  client_->AddHandler(MakeHandler("Other", [](std::string_view) { return absl::OkStatus(); }, {.topics = {"other"}}));
  EXPECT_THAT(Post("/pause", "Bearer s3cret"), HasSubstr("409")) << "not started";
  ASSERT_TRUE(client_->Start().ok());
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret1", "Bearer S3cret", "s3cret"}) {
    EXPECT_THAT(Post("/pause?handler=Charge", wrong), HasSubstr("401")) << wrong;
  }
  EXPECT_EQ(client_->progress().handlers[0].gate, Gate::kOpen);
  EXPECT_THAT(Get("/pause?handler=Charge"), HasSubstr("404")) << "only by POST";
  const std::string token = "Bearer s3cret";
  EXPECT_THAT(Post("/pause?handler=Nobody", token), HasSubstr("there are Charge, Other"));
  EXPECT_THAT(Post("/pause?handler=", token), HasSubstr("400"));
  EXPECT_THAT(Post("/pause?handlr=Charge", token), HasSubstr("400"));
  EXPECT_THAT(Post("/pause?handler=Charge&topic=orders", token), HasSubstr("400"));
  EXPECT_THAT(Post("/pause?handler=Charge", token), HasSubstr("200 OK"));
  ASSERT_TRUE(client_->producer().Send(Message{.topic = "orders", .payload = "x"}).Wait().ok());
  EXPECT_EQ(Body(Get("/ready")), "ok; handler Charge is paused\n");
  EXPECT_EQ(json::parse(Body(Get("/status"))).at("handlers").at(0).at("gate"), "paused");
  EXPECT_THAT(Get("/metrics"), HasSubstr("messaging_handler_paused{handler=\"Charge\",reason=\"request\"} 1"));
  EXPECT_THAT(Post("/pause", token), HasSubstr("200 OK"));
  EXPECT_THAT(Get("/ready"), HasSubstr("503"));
  EXPECT_FALSE(handled.HasBeenNotified());
  EXPECT_THAT(Post("/resume", token), HasSubstr("200 OK"));
  handled.WaitForNotification();
  EXPECT_EQ(Body(Get("/ready")), "ok\n");
  EXPECT_THAT(Post("/pause?topic=orders", token), HasSubstr("200 OK"));
  EXPECT_EQ(json::parse(Body(Get("/status"))).at("handlers").at(0).at("paused_topics").at(0), "orders");
  ASSERT_TRUE(client_->Stop().ok());
  EXPECT_THAT(Post("/resume", token), HasSubstr("409"));
}

TEST_F(HttpTest, WithoutATokenNobodyPauses) {
  const auto server = HttpServer::Start({.address = "0"}, *client_, *observer_);
  ASSERT_TRUE(server.ok());
  EXPECT_THAT((*server)->address(), testing::StartsWith("127.0.0.1:"));
  server_.reset();
  address_ = (*server)->address();
  for (const char* given : {"", "Bearer ", "Bearer x"}) EXPECT_THAT(Post("/pause", given), HasSubstr("403"));
}

TEST_F(HttpTest, WhatIsNoQuestionIsAnsweredAndHurtsNobody) {
  EXPECT_THAT(Get("/nothing"), HasSubstr("404"));
  EXPECT_THAT(Get("/../../etc/passwd"), HasSubstr("404"));
  EXPECT_THAT(Ask("POST /live HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), HasSubstr("404"));
  EXPECT_THAT(Ask("\x16\x03\x01 not http at all\r\n\r\n"), HasSubstr("400"));
  EXPECT_THAT(Ask(absl::StrCat("GET /live HTTP/1.1\r\nHost: h\r\nX: ", std::string(1 << 20, 'x'), "\r\n\r\n")),
              testing::Not(HasSubstr("200 OK")));
  EXPECT_THAT(Get("/live"), HasSubstr("200 OK"));
}

TEST_F(HttpTest, ClientsThatSayNothingDoNotKeepTheProbesOut) {
  std::vector<int> silent;
  for (int i = 0; i < 3; ++i) silent.push_back(Connect());
  EXPECT_THAT(Get("/live"), HasSubstr("200 OK"));
  for (int fd : silent) close(fd);
}

TEST_F(HttpTest, AnAddressInUseIsRefused) {
  const auto second = HttpServer::Start({.address = server_->address()}, *client_, *observer_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(second.status().message(), HasSubstr(server_->address()));
}

}  // namespace
}  // namespace messaging::metrics
