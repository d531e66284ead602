// What the quick start's program has besides what it shows: a mail service, a payment gateway, a database of orders.
#ifndef TESTS_DOCS_SNIPPETS_SHOP_H_
#define TESTS_DOCS_SNIPPETS_SHOP_H_

#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "messaging/messaging.h"

struct Mailer {
  absl::Status Send(std::string_view to, std::string_view subject, std::string_view body) {
    std::cout << absl::StrCat("mail to ", to, ": ", subject, ". ", body, "\n") << std::flush;
    return absl::OkStatus();
  }
};

struct Gateway {
  absl::Status Charge(int64_t cents, std::string_view card_token) {
    std::cout << absl::StrCat("charging ", cents, " cents to ", card_token, "\n") << std::flush;
    return card_token == "stolen" ? absl::UnavailableError("payment failed") : absl::OkStatus();
  }
};

struct Orders {
  int64_t Insert(int64_t user_id, double total) {
    rows[static_cast<int64_t>(rows.size()) + 1] = {user_id, total};
    return static_cast<int64_t>(rows.size());
  }
  std::map<int64_t, std::pair<int64_t, double>> rows;
};

#endif  // TESTS_DOCS_SNIPPETS_SHOP_H_
