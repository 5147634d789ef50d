// What is said of the cases: a table for people, JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "bench/scale/study.h"
#include "nlohmann/json.hpp"

namespace cairn::scale {

nlohmann::json ToJson(const Hardware& hardware);
nlohmann::json ToJson(const Case& study, const CaseResult& result);
// Of the cases' JSON.
std::string Table(const nlohmann::json& cases);

}  // namespace cairn::scale
