// RUN: dsv2-opt %s --allow-unregistered-dialect --canonicalize --cse | FileCheck %s
// RUN: dsv2-opt %s --allow-unregistered-dialect --loop-invariant-code-motion | FileCheck %s --check-prefix=LICM
//
// What generic passes may remove, merge and move.

!cache = !dsv2.latent_cache<latent = 32, rope = 8, format = bf16, page = 16>

// The append stays although nothing uses it, and the two gathers around it are
// not the same value; those behind it are.
// CHECK-LABEL: @append_between_reads
// CHECK: %[[BEFORE:.*]] = dsv2.latent_gather
// CHECK-NEXT: dsv2.latent_append
// CHECK-NEXT: %[[AFTER:.*]] = dsv2.latent_gather
// CHECK-NEXT: return %[[BEFORE]], %[[AFTER]], %[[AFTER]]
func.func @append_between_reads(
    %cache: !cache, %c: tensor<?x32xf32>, %k: tensor<?x8xf32>, %l: index,
    %p: tensor<?xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>) {
  %0 = dsv2.latent_gather %cache[%l], %l, %l, %b
    : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<?x32xf32>, tensor<?x8xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
  %1 = dsv2.latent_gather %cache[%l], %l, %l, %b
    : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
  %2 = dsv2.latent_gather %cache[%l], %l, %l, %b
    : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
  return %0, %1, %2 : tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>
}

// Attention reads what the append before it wrote: they keep their order, and
// two attentions with an append between them differ.
// CHECK-LABEL: @append_between_attentions
// CHECK: %[[FIRST:.*]] = dsv2.latent_attention
// CHECK: dsv2.latent_append
// CHECK: %[[SECOND:.*]] = dsv2.latent_attention
// CHECK: return %[[FIRST]], %[[SECOND]]
func.func @append_between_attentions(
    %cache: !cache, %qn: tensor<?x4x16xf32>, %qr: tensor<?x4x8xf32>,
    %uk: tensor<4x16x32xf32>, %c: tensor<?x32xf32>, %k: tensor<?x8xf32>,
    %l: index, %p: tensor<?xi32>, %s: tensor<?xi32>, %st: tensor<?xi32>,
    %b: tensor<?x?xi32>) -> (tensor<?x4x16xf32>, tensor<?x4x16xf32>) {
  %0 = dsv2.latent_attention %qn, %qr, %uk, %uk, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>,
      tensor<4x16x32xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x16xf32>
  dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
    : tensor<?x32xf32>, tensor<?x8xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?x?xi32>
  %1 = dsv2.latent_attention %qn, %qr, %uk, %uk, %cache[%l], %p, %s, %st, %b
    form absorbed scale 1.0
    : tensor<?x4x16xf32>, tensor<?x4x8xf32>, tensor<4x16x32xf32>,
      tensor<4x16x32xf32>, !cache, tensor<?xi32>, tensor<?xi32>,
      tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x16xf32>
  return %0, %1 : tensor<?x4x16xf32>, tensor<?x4x16xf32>
}

// A read that nothing uses is dead; copying pages and tapping is not.
// CHECK-LABEL: @unused
// CHECK-NOT: dsv2.latent_gather
// CHECK: dsv2.copy_pages
// CHECK: dsv2.tap
// CHECK: dsv2.tap
func.func @unused(%cache: !cache, %l: index, %p: tensor<?xi32>,
                  %b: tensor<?x?xi32>, %h: tensor<?x64xf32>) {
  %0 = dsv2.latent_gather %cache[%l], %l, %l, %b
    : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
  dsv2.copy_pages %cache, %p, %p : !cache, tensor<?xi32>, tensor<?xi32>
  dsv2.tap %h site "layer" level 1 : tensor<?x64xf32>
  dsv2.tap %h site "layer" level 1 : tensor<?x64xf32>
  return
}

// Products and routing of the same values are merged, unused ones removed.
// CHECK-LABEL: @pure
// CHECK: %[[Y:.*]] = dsv2.linear
// CHECK-NEXT: return %[[Y]], %[[Y]]
func.func @pure(%x: tensor<?x64xf32>, %w: tensor<8x64xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = dsv2.linear %x, %w
    : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
  %1 = dsv2.linear %x, %w
    : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
  %ids, %weights = dsv2.route %x, %w top_k 2 groups 1 of 1 scale 1.0
    : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}

func.func private @append(memref<?x40xf32>, memref<?x16x40xf32>, index, index)
func.func private @attend(memref<?x64xf32>, memref<?x16x40xf32>,
                          memref<?x64xf32>, index, index)

// A launch without outputs changes its inputs. One on tensors reads memory: two
// are the same unless something writes between them.
// CHECK-LABEL: @launches_on_tensors
// CHECK: %[[A:.*]] = dsv2.launch @attend
// CHECK-NEXT: dsv2.launch @append
// CHECK-NEXT: %[[B:.*]] = dsv2.launch @attend
// CHECK-NEXT: return %[[A]], %[[B]], %[[B]]
func.func @launches_on_tensors(
    %q: tensor<?x64xf32>, %e: tensor<?x64xf32>, %rows: tensor<?x40xf32>,
    %pages: memref<?x16x40xf32>)
    -> (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
  %0 = dsv2.launch @attend
    ins(%q, %pages : tensor<?x64xf32>, memref<?x16x40xf32>)
    outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  dsv2.launch @append ins(%rows, %pages : tensor<?x40xf32>, memref<?x16x40xf32>)
  %1 = dsv2.launch @attend
    ins(%q, %pages : tensor<?x64xf32>, memref<?x16x40xf32>)
    outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  %2 = dsv2.launch @attend
    ins(%q, %pages : tensor<?x64xf32>, memref<?x16x40xf32>)
    outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %0, %1, %2
    : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
}

// On memory a launch writes its outputs.
// CHECK-LABEL: @launches_on_memory
// CHECK: dsv2.launch @append
// CHECK: dsv2.launch @attend
// CHECK: dsv2.launch @attend
func.func @launches_on_memory(
    %q: memref<?x64xf32>, %o: memref<?x64xf32>, %rows: memref<?x40xf32>,
    %pages: memref<?x16x40xf32>) {
  dsv2.launch @append ins(%rows, %pages : memref<?x40xf32>, memref<?x16x40xf32>)
  dsv2.launch @attend
    ins(%q, %pages : memref<?x64xf32>, memref<?x16x40xf32>)
    outs(%o : memref<?x64xf32>)
  dsv2.launch @attend
    ins(%q, %pages : memref<?x64xf32>, memref<?x16x40xf32>)
    outs(%o : memref<?x64xf32>)
  return
}

// Out of a loop go weights and products of invariant values, not what reads the
// cache that the loop writes.
// LICM-LABEL: @loop
// LICM: dsv2.weight_view
// LICM: dsv2.linear
// LICM: scf.for
// LICM-NEXT: dsv2.latent_append
// LICM-NEXT: dsv2.latent_gather
func.func @loop(%cache: !cache, %x: tensor<?x64xf32>, %w: tensor<40x64xf32>,
                %c: tensor<?x32xf32>, %k: tensor<?x8xf32>, %l: index,
                %p: tensor<?xi32>, %s: tensor<?xi32>, %b: tensor<?x?xi32>,
                %table: memref<?xi64>, %n: index) {
  scf.for %i = %l to %n step %n {
    %v = dsv2.weight_view %table[0] : memref<?xi64> -> memref<4xf32>
    %y = dsv2.linear %x, %w
      : tensor<?x64xf32>, tensor<40x64xf32> -> tensor<?x40xf32>
    dsv2.latent_append %c, %k, %cache[%l], %p, %s, %b
      : tensor<?x32xf32>, tensor<?x8xf32>, !cache, tensor<?xi32>,
        tensor<?xi32>, tensor<?x?xi32>
    %z = dsv2.latent_gather %cache[%l], %l, %l, %b
      : !cache, tensor<?x?xi32> -> tensor<?x40xf32>
    "test.use"(%v, %y, %z)
      : (memref<4xf32>, tensor<?x40xf32>, tensor<?x40xf32>) -> ()
  }
  return
}
