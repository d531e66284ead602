#include "examples/shop/service/service.h"

namespace {

constexpr char kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS stock(item TEXT PRIMARY KEY, on_hand BIGINT NOT NULL, reserved BIGINT NOT NULL DEFAULT 0,
        shipped BIGINT NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS reservations(order_id BIGINT PRIMARY KEY, item TEXT NOT NULL, quantity BIGINT NOT NULL);
    INSERT INTO stock(item, on_hand) VALUES('pen', 1000000), ('cup', 1000000), ('lamp', 20) ON CONFLICT DO NOTHING
)";

}  // namespace

int main(int argc, char** argv) { return shop::RunService(argc, argv, "inventory", kSchema); }
