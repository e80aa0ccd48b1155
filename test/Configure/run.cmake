# F094: a missing package or another LLVM ends the configuration with one
# message that says what to install. Variables: SOURCE_DIR, WORK_DIR, CC, CXX.
file(REMOVE_RECURSE ${WORK_DIR})
file(WRITE ${WORK_DIR}/llvm21/LLVMConfig.cmake
  "set(LLVM_VERSION_MAJOR 21)\nset(LLVM_PACKAGE_VERSION 21.1.0)\n")

function(expect_failure name message)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE_DIR}
      -B ${WORK_DIR}/${name} -G Ninja -DCMAKE_C_COMPILER=${CC}
      -DCMAKE_CXX_COMPILER=${CXX} ${ARGN}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(status EQUAL 0)
    message(FATAL_ERROR "${name}: expected the configuration to fail")
  endif()
  # CMake wraps its messages.
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  string(FIND "${output}" "${message}" position)
  if(position EQUAL -1)
    message(FATAL_ERROR "${name}: expected '${message}' in\n${output}")
  endif()
endfunction()

expect_failure(mlir "apt-get install libmlir-22-dev"
  -DCMAKE_DISABLE_FIND_PACKAGE_MLIR=ON)
expect_failure(llvm "dsv2: LLVM 22 not found. Install it with"
  -DCMAKE_DISABLE_FIND_PACKAGE_LLVM=ON)
expect_failure(major "dsv2: expected LLVM 22, found 21.1.0"
  -DLLVM_DIR=${WORK_DIR}/llvm21)
expect_failure(json "apt-get install nlohmann-json3-dev"
  -DDSV2_BUILD_COMPILER=OFF -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)
# F097: without lit or FileCheck the suite would be empty, not green. A program
# that is "OFF" is not looked for.
foreach(tool LIT FILECHECK NOT)
  expect_failure(${tool} "dsv2: lit, FileCheck or not not found. Install it with apt-get install llvm-22-tools"
    -DDSV2_${tool}=OFF)
endforeach()
