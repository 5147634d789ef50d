// A list that a command prints as JSON: one array, or with --output ndjson its elements one by one,
// each in a line and as soon as it is known.
#pragma once

#include "client/cli/context.h"

namespace cairn::cli {

class JsonList {
 public:
  // The context outlives it.
  explicit JsonList(Context* context) : context_(context) {}

  // Nothing happens where no JSON is wanted.
  void Add(Json element);
  // The list is complete. Not called for a list that has failed as a whole.
  void Finish();

 private:
  Context* context_;
  Json elements_ = Json::array();
};

}  // namespace cairn::cli
