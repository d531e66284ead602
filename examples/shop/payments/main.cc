#include "examples/shop/service/service.h"

namespace {

constexpr char kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS payments(order_id BIGINT PRIMARY KEY, amount_cents BIGINT NOT NULL, failure TEXT NOT NULL)
)";

}  // namespace

int main(int argc, char** argv) { return shop::RunService(argc, argv, "payments", kSchema); }
