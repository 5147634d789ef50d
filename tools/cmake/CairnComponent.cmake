# cairn_component(NAME [DEPS target...]): the library of one second-level folder, from all its *.cc files.
# Files named *_main.cc are programs and stay out.
function(cairn_component name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_main\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
    target_link_libraries(${name} PUBLIC ${arg_DEPS})
    cairn_precompiled(${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
    target_link_libraries(${name} INTERFACE ${arg_DEPS})
  endif()
endfunction()

# Optimizing test code takes most of a build's time (66 s instead of 15 s for a large one under sanitizers) and
# finds nothing; what is tested keeps the preset's flags.
set(cairn_test_options -O0 -g1)

add_custom_target(unit_tests)

# Of a test, in seconds. What a sanitizer watches takes several times as long.
set(cairn_test_timeout 300)
if(CAIRN_SANITIZE)
  set(cairn_test_timeout 1200)
endif()

# What sanitizers are not to tell: faults that are not ours.
set(cairn_known_faults "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/unit/known_leaks.txt;\
TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/unit/known_races.txt")

# cairn_unit_tests(FOLDER DEPS...): one test program from all *_test.cc of the current folder.
function(cairn_unit_tests name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${cairn_test_options})
  cairn_precompiled_tests(${name})
  add_dependencies(unit_tests ${name})
  add_test(NAME ${name} COMMAND ${name})
  # A death test's child starts the program anew: a fork of one with threads cannot run under ThreadSanitizer.
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT ${cairn_test_timeout} ENVIRONMENT
    "GTEST_DEATH_TEST_STYLE=threadsafe;${cairn_known_faults}")
endfunction()
