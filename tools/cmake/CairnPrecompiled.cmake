# Headers of the standard library, Abseil, Protobuf and GoogleTest parsed once instead of in every source: a build
# takes half the time. Off where sources have to show that they include what they use (release, dev).

# cairn_precompiled(TARGET): uses what all components share.
function(cairn_precompiled target)
  if(CAIRN_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM cairn_precompiled)
  endif()
endfunction()

# cairn_precompiled_tests(TARGET): the same and GoogleTest, with the tests' flags.
function(cairn_precompiled_tests target)
  if(CAIRN_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM cairn_precompiled_tests)
  endif()
endfunction()

if(NOT CAIRN_PRECOMPILE)
  return()
endif()

set(cairn_precompiled_headers
  <algorithm> <atomic> <coroutine> <cstdint> <deque> <filesystem> <functional> <map> <memory> <mutex> <optional>
  <span> <string> <string_view> <utility> <vector>
  <absl/container/flat_hash_map.h> <absl/container/flat_hash_set.h> <absl/functional/any_invocable.h>
  <absl/status/status.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_join.h>
  <absl/synchronization/mutex.h> <absl/time/time.h>
  <google/protobuf/generated_message_reflection.h> <google/protobuf/message.h> <google/protobuf/map.h>
  <google/protobuf/repeated_field.h> <google/protobuf/unknown_field_set.h>)
set(cairn_precompiled_source ${PROJECT_BINARY_DIR}/precompiled.cc)
file(CONFIGURE OUTPUT ${cairn_precompiled_source} CONTENT "")

add_library(cairn_precompiled OBJECT ${cairn_precompiled_source})
target_link_libraries(cairn_precompiled PRIVATE protobuf::libprotobuf absl::flat_hash_map absl::statusor
  absl::strings absl::synchronization absl::time Threads::Threads)
target_precompile_headers(cairn_precompiled PRIVATE ${cairn_precompiled_headers})

if(CAIRN_TESTS)
  add_library(cairn_precompiled_tests OBJECT ${cairn_precompiled_source})
  target_link_libraries(cairn_precompiled_tests PRIVATE cairn_precompiled GTest::gmock)
  target_compile_options(cairn_precompiled_tests PRIVATE ${cairn_test_options})
  # As programs are compiled; the two must agree.
  set_target_properties(cairn_precompiled_tests PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(cairn_precompiled_tests PRIVATE -fPIE)
  target_precompile_headers(cairn_precompiled_tests PRIVATE ${cairn_precompiled_headers}
    <gtest/gtest.h> <gmock/gmock.h>)
endif()
