// The shop's topics: SERVICE.WHAT, where SERVICE is who owns it. A verb asks its owner to do something, and only the
// owner handles it; a participle says what has happened there, to whoever wants to know.
#ifndef EXAMPLES_SHOP_EVENTS_TOPICS_H_
#define EXAMPLES_SHOP_EVENTS_TOPICS_H_

namespace shop {

inline constexpr char kPlaceOrder[] = "shop.orders.place";           // OrderRequested
inline constexpr char kOrderConfirmed[] = "shop.orders.confirmed";   // OrderConfirmed
inline constexpr char kOrderCancelled[] = "shop.orders.cancelled";   // OrderCancelled
inline constexpr char kReserveStock[] = "shop.inventory.reserve";    // StockRequested
inline constexpr char kStockReserved[] = "shop.inventory.reserved";  // StockReserved
inline constexpr char kStockRefused[] = "shop.inventory.refused";    // StockRefused
inline constexpr char kChargePayment[] = "shop.payments.charge";     // PaymentRequested
inline constexpr char kPaymentCharged[] = "shop.payments.charged";   // PaymentCharged
inline constexpr char kPaymentFailed[] = "shop.payments.failed";     // PaymentFailed

}  // namespace shop

#endif  // EXAMPLES_SHOP_EVENTS_TOPICS_H_
