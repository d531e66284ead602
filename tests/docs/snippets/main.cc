// [main]
#include "cli/main.h"

#include "messaging/messaging.h"
#include "tests/docs/snippets/shop.h"

int main(int argc, char** argv) {
  Mailer mailer;
  Gateway gateway;
  messaging::Provide<Mailer>(&mailer);
  messaging::Provide<Gateway>(&gateway);
  return messaging::cli::Main(argc, argv);
}
// [end]
