#include "examples/shop/service/service.h"

namespace {

constexpr char kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS notifications(order_id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL, text TEXT NOT NULL)
)";

}  // namespace

int main(int argc, char** argv) { return shop::RunService(argc, argv, "notifications", kSchema); }
