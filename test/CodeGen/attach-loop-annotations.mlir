// RUN: dsv2-opt %s --dsv2-attach-loop-annotations | FileCheck %s

#annotation = #llvm.loop_annotation<vectorize = <disable = true>>

// CHECK: #[[A:.*]] = #llvm.loop_annotation
// CHECK-LABEL: @loop
llvm.func @loop(%c: i1) {
  llvm.br ^head
^head:
  llvm.cond_br %c, ^body, ^end
^body:
  // CHECK: llvm.br ^bb1 {loop_annotation = #[[A]]}
  llvm.br ^head {llvm.loop_annotation = #annotation}
^end:
  llvm.return
}
