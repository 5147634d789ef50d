#include "server/tier/tier_spec.h"

#include <utility>

#include "common/base/status_macros.h"

namespace cairn {

absl::StatusOr<ColdStoreSpec> ToColdStoreSpec(const wire::TierSpec& spec) {
  ColdStoreText text;
  text.location = spec.location();
  for (const wire::TierOption& option : spec.options())
    text.options.emplace_back(option.name(), option.value());
  return ParseColdStoreSpec(text);
}

absl::StatusOr<wire::TierSpec> CompleteTierSpec(const wire::TierSpec& spec) {
  ASSIGN_OR_RETURN(const ColdStoreSpec store, ToColdStoreSpec(spec));
  ColdStoreText text = FormatColdStoreSpec(store);
  wire::TierSpec complete;
  complete.set_name(spec.name());
  complete.set_location(std::move(text.location));
  for (auto& [name, value] : text.options) {
    wire::TierOption* option = complete.add_options();
    option->set_name(std::move(name));
    option->set_value(std::move(value));
  }
  return complete;
}

}  // namespace cairn
