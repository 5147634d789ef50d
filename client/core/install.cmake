# What programs outside this tree build against: libcairn.so with the C++ and the C SDK, the headers, cairn.pc and
# the CMake package that find_package(cairn) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(cairn_shared SHARED $<TARGET_OBJECTS:cairn_client>)
add_library(cairn::cairn ALIAS cairn_shared)
set_target_properties(cairn_shared PROPERTIES
  OUTPUT_NAME cairn
  EXPORT_NAME cairn
  VERSION ${PROJECT_VERSION}
  # Until 1.0 a minor version may change the binary interface.
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libcairn.map)
target_include_directories(cairn_shared PUBLIC
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(cairn_shared INTERFACE cxx_std_20)
target_link_libraries(cairn_shared
  PRIVATE cairn_client_io
  PUBLIC absl::status absl::statusor absl::time)
target_link_options(cairn_shared PRIVATE
  "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/libcairn.map")
if(NOT CAIRN_SANITIZE)
  # With clang the sanitizers' own symbols are in the programs only.
  target_link_options(cairn_shared PRIVATE "LINKER:--no-undefined")
endif()

install(TARGETS cairn_shared EXPORT cairn_targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client NAMELINK_COMPONENT devel)
install(DIRECTORY include/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT devel
  FILES_MATCHING PATTERN "*.h")

set(cairn_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
install(EXPORT cairn_targets NAMESPACE cairn:: FILE cairn-targets.cmake
  DESTINATION ${cairn_package_dir} COMPONENT devel)
configure_package_config_file(cairn-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/cairn-config.cmake
  INSTALL_DESTINATION ${cairn_package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/cairn-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cairn-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/cairn-config-version.cmake
  DESTINATION ${cairn_package_dir} COMPONENT devel)

# The prefix is found from the .pc file's own place, so that `cmake --install --prefix` works.
file(RELATIVE_PATH cairn_pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cairn.pc.in ${CMAKE_CURRENT_BINARY_DIR}/cairn.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cairn.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT devel)
