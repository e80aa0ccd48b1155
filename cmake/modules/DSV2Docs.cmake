#===- DSV2Docs.cmake - reference pages out of TableGen ---------------------===#
#
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#

include_guard(GLOBAL)

# Everything generated, in <build>/docs. Part of an ordinary build: a
# description that TableGen cannot print breaks it.
add_custom_target(dsv2-doc ALL)

# add_dsv2_doc(NAME FILE options...): generates docs/NAME.md from the TableGen
# file FILE with mlir-tblgen's `options`. The TableGen include directories are
# those of the calling directory.
function(add_dsv2_doc name file)
  set(LLVM_TARGET_DEFINITIONS ${file})
  tablegen(MLIR ${name}.md ${ARGN})
  set(page ${DSV2_BINARY_DIR}/docs/${name}.md)
  add_custom_command(OUTPUT ${page}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_BINARY_DIR}/${name}.md
      ${page}
    DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${name}.md)
  add_custom_target(dsv2-doc-${name} DEPENDS ${page})
  add_dependencies(dsv2-doc dsv2-doc-${name})
endfunction()
