#===- AddDSV2.cmake - thin wrappers that add the project's bookkeeping -----===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#

set(DSV2_WARNING_FLAGS -Wall -Wextra -Wno-unused-parameter)
if(DSV2_WARNINGS_AS_ERRORS)
  list(APPEND DSV2_WARNING_FLAGS -Werror)
endif()
# The value of -fsanitize= for everything that is built, and flags with it.
set(DSV2_SANITIZE ${DSV2_SANITIZERS})
if(DSV2_BUILD_FUZZERS)
  # libFuzzer steers by the coverage of what it tests, which is in the
  # libraries: instrument everything, not the entry points alone.
  string(APPEND DSV2_SANITIZE ",fuzzer-no-link")
  string(REGEX REPLACE "^," "" DSV2_SANITIZE "${DSV2_SANITIZE}")
endif()
set(DSV2_SANITIZER_FLAGS "")
if(DSV2_SANITIZE)
  set(DSV2_SANITIZER_FLAGS -fsanitize=${DSV2_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DSV2_SANITIZE})
endif()

# Flags of code that includes LLVM and MLIR headers: no exceptions, like LLVM
# itself, and the headers are system headers so that only our own code warns. A
# program brings the options that the sanitizers need beside libMLIR.
# NO_PRECOMPILED_HEADERS: for what does not link libMLIR, whose inline functions
# the precompiled headers would bring along.
function(dsv2_compiler_flags target)
  cmake_parse_arguments(ARG "NO_PRECOMPILED_HEADERS" "" "" ${ARGN})
  target_include_directories(${target} SYSTEM PRIVATE
    ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
  target_compile_definitions(${target} PRIVATE ${LLVM_DEFINITIONS_LIST})
  target_compile_options(${target} PRIVATE ${DSV2_WARNING_FLAGS}
    ${DSV2_SANITIZER_FLAGS} -fno-exceptions)
  get_target_property(type ${target} TYPE)
  if(DSV2_SANITIZE AND type STREQUAL EXECUTABLE)
    target_sources(${target} PRIVATE
      ${DSV2_SOURCE_DIR}/lib/Support/SanitizerOptions.cpp)
  endif()
  if(DSV2_PRECOMPILE_HEADERS AND NOT ARG_NO_PRECOMPILED_HEADERS)
    target_precompile_headers(${target} REUSE_FROM dsv2-headers)
    # Programs are compiled as the libraries are, or the headers do not fit.
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# The headers of LLVM and MLIR that most sources of the compiler include, parsed
# once for all of them. Called when MLIR was found.
function(dsv2_precompile_headers)
  add_library(dsv2-headers OBJECT ${DSV2_SOURCE_DIR}/lib/Precompiled.cpp)
  dsv2_compiler_flags(dsv2-headers NO_PRECOMPILED_HEADERS)
  target_precompile_headers(dsv2-headers PRIVATE
    ${DSV2_SOURCE_DIR}/lib/Precompiled.h)
endfunction()

# add_dsv2_library(NAME sources... [DEPENDS targets] [LINK_LIBS libs])
# A library of the compiler. It links the shared libMLIR and libLLVM, never
# their static archives: two copies of MLIR in one process do not work.
function(add_dsv2_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  dsv2_compiler_flags(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS} MLIR LLVM)
  target_include_directories(${name} INTERFACE
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  set_property(GLOBAL APPEND PROPERTY DSV2_COMPILER_LIBS ${name})
endfunction()

# add_dsv2_tool(NAME sources... [LINK_LIBS libs]): a program that links MLIR.
function(add_dsv2_tool name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  dsv2_compiler_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} MLIR LLVM)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# Flags of the runtime: exceptions allowed inside, no LLVM headers.
function(dsv2_runtime_flags target)
  target_compile_options(${target} PRIVATE ${DSV2_WARNING_FLAGS}
    ${DSV2_SANITIZER_FLAGS})
endfunction()

# add_dsv2rt_library(NAME sources... [LINK_LIBS libs]): part of the runtime.
function(add_dsv2rt_library name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  dsv2_runtime_flags(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS})
endfunction()

# add_dsv2rt_tool(NAME sources... [LINK_LIBS libs]): a program of the runtime.
function(add_dsv2rt_tool name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  dsv2_runtime_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS})
  # Artifacts are shared objects that call back into the program. A program that
  # is copied takes libraries from the folder lib beside its own, if there.
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON
    BUILD_RPATH "$ORIGIN/../lib")
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# Further flags of tests of the runtime. What they test is optimised; they
# themselves take longer to compile than to run.
function(dsv2_runtime_test_flags target)
  target_compile_options(${target} PRIVATE -fPIC $<$<CONFIG:Release>:-O0>)
endfunction()

# The same as dsv2_precompile_headers() for those tests.
function(dsv2_precompile_test_headers)
  add_library(dsv2-test-headers OBJECT
    ${DSV2_SOURCE_DIR}/test/Unit/Precompiled.cpp)
  dsv2_runtime_flags(dsv2-test-headers)
  dsv2_runtime_test_flags(dsv2-test-headers)
  target_link_libraries(dsv2-test-headers PRIVATE
    GTest::gtest nlohmann_json::nlohmann_json)
  target_precompile_headers(dsv2-test-headers PRIVATE
    ${DSV2_SOURCE_DIR}/test/Unit/Precompiled.h)
endfunction()

# add_dsv2_unittest(NAME sources... [COMPILER] [SECONDS s] [PARTS p=filter...]
#                   [LINK_LIBS libs])
# A GoogleTest program, registered with ctest under its own name. COMPILER: it
# includes LLVM headers. SECONDS: about how long it takes, if that is long; such
# tests begin first, or one of them would run alone at the end. PARTS: instead
# one test for each filter, which can run side by side.
function(add_dsv2_unittest name)
  cmake_parse_arguments(ARG "COMPILER" "SECONDS" "PARTS;LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${DSV2_BINARY_DIR}/bin/unit ENABLE_EXPORTS ON)
  if(ARG_COMPILER)
    dsv2_compiler_flags(${name})
    target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} MLIR LLVM)
  else()
    dsv2_runtime_flags(${name})
    dsv2_runtime_test_flags(${name})
    target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS})
    if(DSV2_PRECOMPILE_HEADERS)
      if(NOT TARGET dsv2-test-headers)
        dsv2_precompile_test_headers()
      endif()
      target_precompile_headers(${name} REUSE_FROM dsv2-test-headers)
    endif()
  endif()
  target_link_libraries(${name} PRIVATE GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    DSV2_TEST_SOURCE_DIR="${DSV2_SOURCE_DIR}")
  if(NOT ARG_PARTS)
    set(ARG_PARTS "=*")
  endif()
  foreach(part IN LISTS ARG_PARTS)
    string(REGEX MATCH "^([^=]*)=(.*)$" part ${part})
    set(test unit.${name})
    if(CMAKE_MATCH_1)
      string(APPEND test .${CMAKE_MATCH_1})
    endif()
    add_test(NAME ${test} COMMAND ${name} --gtest_filter=${CMAKE_MATCH_2})
    if(ARG_SECONDS)
      set_tests_properties(${test} PROPERTIES COST ${ARG_SECONDS})
    endif()
    if(DSV2_SANITIZE)
      set_tests_properties(${test} PROPERTIES ENVIRONMENT
        LSAN_OPTIONS=suppressions=${DSV2_SOURCE_DIR}/test/lsan.supp)
    endif()
  endforeach()
  add_dependencies(dsv2-unittests ${name})
endfunction()

# add_dsv2_fuzzer(NAME CORPUS dir SOURCES s... [COMPILER] LINK_LIBS libs)
# With DSV2_BUILD_FUZZERS a libFuzzer program; always a replay test that feeds
# the committed corpus to the same entry point.
function(add_dsv2_fuzzer name)
  cmake_parse_arguments(ARG "COMPILER" "CORPUS" "SOURCES;LINK_LIBS" ${ARGN})
  set(flavours replay)
  if(DSV2_BUILD_FUZZERS)
    list(APPEND flavours fuzz)
  endif()
  foreach(flavour IN LISTS flavours)
    set(target ${name}-${flavour})
    set(sources ${ARG_SOURCES})
    if(flavour STREQUAL replay)
      list(APPEND sources ${DSV2_SOURCE_DIR}/test/Fuzz/StandaloneFuzzMain.cpp)
    endif()
    add_executable(${target} ${sources})
    set_target_properties(${target} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${DSV2_BINARY_DIR}/bin/fuzz ENABLE_EXPORTS ON)
    if(ARG_COMPILER)
      dsv2_compiler_flags(${target})
      target_link_libraries(${target} PRIVATE ${ARG_LINK_LIBS} MLIR LLVM)
    else()
      dsv2_runtime_flags(${target})
      target_link_libraries(${target} PRIVATE ${ARG_LINK_LIBS})
    endif()
  endforeach()
  if(TARGET ${name}-fuzz)
    target_compile_options(${name}-fuzz PRIVATE -fsanitize=fuzzer)
    target_link_options(${name}-fuzz PRIVATE -fsanitize=fuzzer)
  endif()
  add_test(NAME fuzz.${name} COMMAND ${name}-replay ${ARG_CORPUS})
  add_dependencies(dsv2-unittests ${name}-replay)
endfunction()

# Installs headers, libraries and a package file, so that another project can
# say find_package(dsv2) and register the dialect.
function(dsv2_install_package)
  get_property(libs GLOBAL PROPERTY DSV2_COMPILER_LIBS)
  install(TARGETS ${libs} EXPORT dsv2Targets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${DSV2_SOURCE_DIR}/include/dsv2
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" PATTERN "*.td")
  install(DIRECTORY ${DSV2_BINARY_DIR}/include/dsv2
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.inc")
  install(DIRECTORY ${DSV2_SOURCE_DIR}/runtime/include/dsv2rt
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dsv2)
  install(EXPORT dsv2Targets NAMESPACE dsv2:: DESTINATION ${package_dir})
  configure_package_config_file(
    ${DSV2_SOURCE_DIR}/cmake/modules/dsv2Config.cmake.in
    ${DSV2_BINARY_DIR}/dsv2Config.cmake INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file(${DSV2_BINARY_DIR}/dsv2ConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${DSV2_BINARY_DIR}/dsv2Config.cmake
    ${DSV2_BINARY_DIR}/dsv2ConfigVersion.cmake DESTINATION ${package_dir})
endfunction()
