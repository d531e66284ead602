#include "examples/shop/service/service.h"

namespace {

constexpr char kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS orders(order_id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL, item TEXT NOT NULL,
        quantity BIGINT NOT NULL, total_cents BIGINT NOT NULL, card TEXT NOT NULL, state TEXT NOT NULL)
)";

}  // namespace

int main(int argc, char** argv) { return shop::RunService(argc, argv, "orders", kSchema); }
