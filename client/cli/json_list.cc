// See json_list.h.
#include "client/cli/json_list.h"

#include <utility>

namespace cairn::cli {

void JsonList::Add(Json element) {
  if (!context_->json()) return;
  if (context_->streams_json()) {
    context_->PrintJson(element);
  } else {
    elements_.push_back(std::move(element));
  }
}

void JsonList::Finish() {
  if (context_->json() && !context_->streams_json()) context_->PrintJson(elements_);
}

}  // namespace cairn::cli
