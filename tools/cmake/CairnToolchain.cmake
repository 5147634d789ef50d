# Warnings, sanitizers, linker and compiler cache: the same for every target.
add_compile_options(-Wall -Wextra -Wno-unused-parameter -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns falsely on coroutine frames and on std::optional inside them.
  add_compile_options(-Wno-maybe-uninitialized $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
option(CAIRN_WERROR "Treat warnings as errors" OFF)
if(CAIRN_WERROR)
  add_compile_options(-Werror)
endif()
if(CAIRN_SANITIZE)
  add_compile_options(-fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CAIRN_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CAIRN_SANITIZE MATCHES "undefined")
    # Its type word before each function cannot be laid before the parts that a coroutine is split into:
    # "Cannot represent a difference across sections", with clang 14.
    add_compile_options(-fno-sanitize=function)
  endif()
endif()
if(CAIRN_FUZZ)
  # Coverage of all that a fuzz target reaches; only the targets themselves link libFuzzer's main.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CAIRN_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CAIRN_CCACHE})
endif()
