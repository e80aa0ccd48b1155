/*===- HeaderTest.c - the public headers are C ---------------------------===*\
|*                                                                            *|
|* Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.          *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#include "dsv2rt/abi.h"
#include "dsv2rt/dsv2rt.h"

/* Compiled, never called. */
int dsv2_header_test(void) {
  dsv2rt_memref4d memory = {0};
  dsv2rt_step_input input = {0};
  return (int)(memory.offset + input.count) + DSV2RT_OK;
}
