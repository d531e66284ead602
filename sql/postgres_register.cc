#include "sql/postgres.h"

namespace messaging::sql {
namespace {

[[maybe_unused]] const bool registered =
    RegisterOpener("postgres", OpenPostgres) && RegisterOpener("postgresql", OpenPostgres);

}  // namespace
}  // namespace messaging::sql
