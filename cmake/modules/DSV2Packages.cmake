#===- DSV2Packages.cmake - what the build needs and where it comes from ----===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Every missing package ends the configuration with one message that names the
# Debian packages to install.
#
#===------------------------------------------------------------------------===#

# The one LLVM series this tree is written for.
set(DSV2_LLVM_MAJOR 22)
set(DSV2_COMPILER_APT_PACKAGES
  "libmlir-${DSV2_LLVM_MAJOR}-dev mlir-${DSV2_LLVM_MAJOR}-tools \
llvm-${DSV2_LLVM_MAJOR}-dev llvm-${DSV2_LLVM_MAJOR}-tools \
clang-${DSV2_LLVM_MAJOR} lld-${DSV2_LLVM_MAJOR} libomp-${DSV2_LLVM_MAJOR}-dev")

# Stops with the apt command that provides `what`.
function(dsv2_missing_package what packages)
  message(FATAL_ERROR
    "dsv2: ${what} not found. Install it with\n"
    "  apt-get install ${packages}\n"
    "or point CMAKE_PREFIX_PATH at another installation.")
endfunction()

macro(dsv2_find_mlir)
  list(APPEND CMAKE_PREFIX_PATH /usr/lib/llvm-${DSV2_LLVM_MAJOR})
  # The packaged MLIRConfig.cmake stops with an error of its own when the
  # tools package is absent, so look for the tools first.
  find_program(DSV2_MLIR_TBLGEN NAMES mlir-tblgen-${DSV2_LLVM_MAJOR} mlir-tblgen
    HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/bin)
  if(NOT DSV2_MLIR_TBLGEN)
    dsv2_missing_package("mlir-tblgen" "mlir-${DSV2_LLVM_MAJOR}-tools")
  endif()
  find_package(LLVM CONFIG QUIET)
  if(NOT LLVM_FOUND)
    dsv2_missing_package("LLVM ${DSV2_LLVM_MAJOR}" "${DSV2_COMPILER_APT_PACKAGES}")
  endif()
  if(NOT LLVM_VERSION_MAJOR EQUAL DSV2_LLVM_MAJOR)
    message(FATAL_ERROR
      "dsv2: expected LLVM ${DSV2_LLVM_MAJOR}, found ${LLVM_PACKAGE_VERSION} in "
      "${LLVM_DIR}. Install the right one with\n"
      "  apt-get install ${DSV2_COMPILER_APT_PACKAGES}\n"
      "or set MLIR_DIR and LLVM_DIR.")
  endif()
  find_package(MLIR CONFIG QUIET)
  if(NOT MLIR_FOUND)
    dsv2_missing_package("MLIR ${DSV2_LLVM_MAJOR}" "${DSV2_COMPILER_APT_PACKAGES}")
  endif()
  list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
  set(MLIR_LINK_MLIR_DYLIB ON)
  set(LLVM_LINK_LLVM_DYLIB ON)
  include(TableGen)
  include(AddLLVM)
  include(AddMLIR)
  find_program(DSV2_LLD NAMES ld.lld-${DSV2_LLVM_MAJOR} ld.lld
    HINTS ${LLVM_TOOLS_BINARY_DIR})
  if(NOT DSV2_LLD)
    dsv2_missing_package("ld.lld" "lld-${DSV2_LLVM_MAJOR}")
  endif()
  find_program(DSV2_CLANG NAMES clang-${DSV2_LLVM_MAJOR} clang
    HINTS ${LLVM_TOOLS_BINARY_DIR})
  if(NOT DSV2_CLANG)
    dsv2_missing_package("clang" "clang-${DSV2_LLVM_MAJOR}")
  endif()
  # The fibers of the emulator.
  find_path(DSV2_BOOST_INCLUDE boost/context/detail/fcontext.hpp)
  find_library(DSV2_BOOST_CONTEXT_LIBRARY boost_context)
  if(NOT DSV2_BOOST_INCLUDE OR NOT DSV2_BOOST_CONTEXT_LIBRARY)
    dsv2_missing_package("Boost.Context" "libboost-context-dev")
  endif()
endmacro()

macro(dsv2_find_runtime_packages)
  find_package(Threads REQUIRED)
  find_package(nlohmann_json 3.10 CONFIG QUIET)
  if(NOT nlohmann_json_FOUND)
    dsv2_missing_package("nlohmann_json" "nlohmann-json3-dev")
  endif()
  find_path(DSV2_PCRE2_INCLUDE pcre2.h)
  find_library(DSV2_PCRE2_LIBRARY pcre2-8)
  if(NOT DSV2_PCRE2_INCLUDE OR NOT DSV2_PCRE2_LIBRARY)
    dsv2_missing_package("PCRE2 (8 bit)" "libpcre2-dev")
  endif()
  add_library(dsv2_pcre2 INTERFACE)
  target_include_directories(dsv2_pcre2 SYSTEM INTERFACE ${DSV2_PCRE2_INCLUDE})
  target_link_libraries(dsv2_pcre2 INTERFACE ${DSV2_PCRE2_LIBRARY})
  find_path(DSV2_CLI11_INCLUDE CLI/CLI.hpp)
  if(NOT DSV2_CLI11_INCLUDE)
    dsv2_missing_package("CLI11" "libcli11-dev")
  endif()
  # Generated code runs its parallel regions on LLVM's OpenMP runtime, so the
  # process that loads it has to provide exactly that one.
  find_library(DSV2_OPENMP_LIBRARY NAMES omp libomp.so.5
    HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/lib)
  find_path(DSV2_OPENMP_INCLUDE omp.h
    HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/lib/clang/${DSV2_LLVM_MAJOR}/include
          /usr/lib/llvm-${DSV2_LLVM_MAJOR}/include
    NO_DEFAULT_PATH)
  if(NOT DSV2_OPENMP_LIBRARY OR NOT DSV2_OPENMP_INCLUDE)
    dsv2_missing_package("libomp" "libomp-${DSV2_LLVM_MAJOR}-dev")
  endif()
  dsv2_find_mpi()
endmacro()

# The implementations of MPI that are there, as DSV2_MPI_IMPLEMENTATIONS. The
# build does without; libdsv2-mpi-NAME.so is made for those that are found.
macro(dsv2_find_mpi)
  set(DSV2_MPI_IMPLEMENTATIONS "")
  find_path(DSV2_MPI_INCLUDE_openmpi mpi.h
    PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} PATH_SUFFIXES openmpi/include
    NO_DEFAULT_PATH)
  find_library(DSV2_MPI_LIBRARY_openmpi mpi
    PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} PATH_SUFFIXES openmpi/lib
    NO_DEFAULT_PATH)
  find_path(DSV2_MPI_INCLUDE_mpich mpi.h
    PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} PATH_SUFFIXES mpich
    NO_DEFAULT_PATH)
  find_library(DSV2_MPI_LIBRARY_mpich mpich)
  foreach(name IN ITEMS openmpi mpich)
    find_program(DSV2_MPIRUN_${name} mpirun.${name})
    if(DSV2_MPI_INCLUDE_${name} AND DSV2_MPI_LIBRARY_${name})
      list(APPEND DSV2_MPI_IMPLEMENTATIONS ${name})
    endif()
  endforeach()
endmacro()

# ptxas where the tools look for it (lib/Target/NVPTX/FindProgram.cpp). The
# build does without; tests that need it are unsupported where it is missing.
macro(dsv2_find_ptxas)
  file(GLOB dsv2_cuda_toolkits /usr/local/cuda-*)
  list(SORT dsv2_cuda_toolkits COMPARE NATURAL ORDER DESCENDING)
  find_program(DSV2_PTXAS ptxas
    HINTS ENV CUDA_ROOT ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda
          ${dsv2_cuda_toolkits}
    PATH_SUFFIXES bin)
  set(DSV2_PTXAS_PROGRAM "")
  if(DSV2_PTXAS)
    set(DSV2_PTXAS_PROGRAM ${DSV2_PTXAS})
  endif()
endmacro()

macro(dsv2_find_test_packages)
  dsv2_find_ptxas()
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    dsv2_missing_package("GoogleTest" "libgtest-dev libgmock-dev")
  endif()
  if(DSV2_BUILD_COMPILER)
    find_program(DSV2_FILECHECK NAMES FileCheck-${DSV2_LLVM_MAJOR} FileCheck
      HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/bin)
    find_program(DSV2_NOT NAMES not-${DSV2_LLVM_MAJOR} not
      HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/bin)
    find_program(DSV2_LIT NAMES lit-${DSV2_LLVM_MAJOR} llvm-lit lit
      HINTS /usr/lib/llvm-${DSV2_LLVM_MAJOR}/bin
            /usr/lib/llvm-${DSV2_LLVM_MAJOR}/build/utils/lit)
    if(NOT DSV2_FILECHECK OR NOT DSV2_NOT OR NOT DSV2_LIT)
      dsv2_missing_package("lit, FileCheck or not" "llvm-${DSV2_LLVM_MAJOR}-tools")
    endif()
  endif()
endmacro()

function(dsv2_print_summary)
  message(STATUS "dsv2 ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE} build")
  message(STATUS "  compiler   : ${DSV2_BUILD_COMPILER}  LLVM ${LLVM_PACKAGE_VERSION} in ${LLVM_DIR}")
  message(STATUS "  linker     : ${DSV2_LLD}")
  message(STATUS "  runtime    : ${DSV2_BUILD_RUNTIME}  OpenMP ${DSV2_OPENMP_LIBRARY}")
  message(STATUS "  MPI        : ${DSV2_MPI_IMPLEMENTATIONS}")
  message(STATUS "  tests      : ${DSV2_BUILD_TESTS}  lit ${DSV2_LIT}")
  message(STATUS "  ptxas      : ${DSV2_PTXAS_PROGRAM}")
  message(STATUS "  fuzzers    : ${DSV2_BUILD_FUZZERS}  sanitizers '${DSV2_SANITIZERS}'")
endfunction()
