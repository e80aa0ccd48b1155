//===- Passes.td - dsv2 to dsv2 passes ---------------------*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_TD
#define DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def AnnotateShardsPass : Pass<"dsv2-annotate-shards", "::mlir::ModuleOp"> {
  let summary = "Decide which part of every tensor a rank holds";
  let description = [{
    Enters: the import stage. Adds `dsv2.mesh @mesh` of the given shape and
    starts from the ops that can be split: heads of latent attention, the width
    of feed-forward networks and the vocabulary over `tp`, routed experts over
    `ep`. From there it follows operands back to weights, which get the
    attribute `dsv2.shards`, and results on: an op whose result is split gets
    the same attribute, one whose result has yet to be summed over an axis gets
    `dsv2.partial`. Latents, norms, the router and the residual stream stay
    whole. With one rank nothing happens. Refused: extents that the axis does
    not divide, naming those that do, and more ranks than experts on `ep`.

    Types stay as they are: this is what a person reads and changes before
    `dsv2-insert-collectives` and `dsv2-expand-dispatch` act on it.
  }];
  let options = [
    Option<"mesh", "mesh", "std::string", /*default=*/"\"\"",
           "Ranks on each axis: tp=N,ep=N">
  ];
  let statistics = [
    Statistic<"numWeights", "num-weights", "Number of weights that are split">
  ];
  let dependentDialects = ["::mlir::dsv2::DSV2Dialect"];
}

def InsertCollectivesPass
    : Pass<"dsv2-insert-collectives", "::mlir::ModuleOp"> {
  let summary = "Give tensors the shapes of one rank, and sum what is partial";
  let description = [{
    Enters: the import stage with the attributes of `dsv2-annotate-shards`.
    Leaves: types of one rank where an op is split over `tp`, a
    `dsv2.all_reduce` behind every op whose result is a part of a sum, a
    `dsv2.all_gather` behind split logits, and the first id of this rank's part
    of the vocabulary at the embedding. Combining the outputs of experts is
    linear, so the sum over `tp` is taken of the combined rows.
  }];
  let statistics = [
    Statistic<"numCollectives", "num-collectives",
              "Number of collectives inserted">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

def FuseCollectivesPass
    : Pass<"dsv2-fuse-collectives", "::mlir::ModuleOp"> {
  let summary = "Sum once what is summed twice";
  let description = [{
    The sum of two all-reduced values is the all-reduced sum of both: routed
    and shared experts then take one exchange instead of two. Values that
    something else reads stay apart.
  }];
  let statistics = [
    Statistic<"numFused", "num-fused", "Number of collectives saved">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

def SelectDispatchPass : Pass<"dsv2-select-dispatch", "::mlir::ModuleOp"> {
  let summary = "Decide how large exchanges of tokens are";
  let description = [{
    Enters: entries specialised, experts annotated to be split. Exchanges are
    exact: counts go first, then as many rows. With `capacity` there is another
    instance of `@step_decode`, `@step_decode_fixed`, whose functions have
    `dsv2.capacity`: in it every rank has room for that many rows for every
    other, so that one exchange is enough and its size is known beforehand. A
    step in which that is too small is repeated with the exact entry.
  }];
  let options = [
    Option<"capacity", "capacity", "int64_t", /*default=*/"0",
           "Rows that one rank has for another while decoding; 0: exact">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

def ExpandDispatchPass : Pass<"dsv2-expand-dispatch", "::mlir::ModuleOp"> {
  let summary = "Send tokens to the ranks of their experts and back";
  let description = [{
    Enters: dispatch, experts and combine whose weights are annotated to be
    split over `ep`. Leaves the chain: `dsv2.exchange_pack`, an exchange of the
    counts, `dsv2.all_to_all_v` of the rows (each token once for a rank),
    `dsv2.exchange_unpack`, dispatch, experts and combine of what arrived with
    this rank's experts alone, `dsv2.all_to_all_v` back, and
    `dsv2.exchange_combine`. Weights get the shapes of one rank. In a function
    with `dsv2.capacity` rows travel in parts of that size by
    `dsv2.all_to_all`, and `dsv2.check_capacity` notices when that is too small.
  }];
  let statistics = [
    Statistic<"numExpanded", "num-expanded", "Number of dispatches expanded">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

def OverlapCollectivesPass
    : Pass<"dsv2-overlap-collectives", "::mlir::ModuleOp"> {
  let summary = "Compute the shared experts while tokens travel";
  let description = [{
    An exchange of rows whose result is read later becomes `async`, a
    feed-forward network behind it that does not depend on it moves up, and
    `dsv2.comm_wait` stands where the network ends.
  }];
  let statistics = [
    Statistic<"numOverlapped", "num-overlapped",
              "Number of exchanges that something is computed beside">
  ];
  let dependentDialects = ["::mlir::dsv2::DSV2Dialect"];
}

def HoistWeightPreparationPass
    : Pass<"dsv2-hoist-weight-preparation", "::mlir::ModuleOp"> {
  let summary = "Move what depends on weights alone into prepare functions";
  let description = [{
    Enters: functions in which every weight reaches its use through
    `dsv2.pack`, possibly behind `tensor.expand_shape` and
    `tensor.extract_slice`. Leaves: one private function marked `dsv2.prepare`
    per set of checkpoint tensors, with a result for each distinct packed form,
    and `dsv2.packed_weight` ops where the forms are used. No `dsv2.weight`
    remains. Refused: anything else computed from a weight.

    A prepare function is written for one layer and one expert; its attributes
    say for which it runs: `dsv2.sources` (checkpoint names), `dsv2.layers`
    (layer numbers) and `dsv2.experts` (count, absent without `{expert}`).

    ```mlir
    %w = dsv2.weight "model.norm.weight" : tensor<64xbf16>
    %p = dsv2.pack %w : tensor<64xbf16> -> tensor<64xf32, #dsv2.packed<dense, 1>>
    // becomes
    %p = dsv2.packed_weight @prepare_model_norm[0]
           : tensor<64xf32, #dsv2.packed<dense, 1>>
    func.func private @prepare_model_norm(%w: tensor<64xbf16>) -> tensor<...>
      attributes {dsv2.prepare, dsv2.sources = ["model.norm.weight"], ...}
    ```
  }];
  let statistics = [
    Statistic<"numPrepareFunctions", "num-prepare-functions",
              "Number of prepare functions">,
    Statistic<"numPackedWeights", "num-packed-weights",
              "Number of uses of packed weights">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

def SelectCacheFormatPass
    : Pass<"dsv2-select-cache-format", "::mlir::ModuleOp"> {
  let summary = "Decide how the latent cache stores its rows";
  let description = [{
    Rewrites every `!dsv2.latent_cache` type of the module to the given format
    and page size.
  }];
  let options = [
    Option<"format", "format", "std::string", /*default=*/"\"bf16\"",
           "How the cache is stored: f32, bf16, q8 or q6">,
    Option<"page", "page", "int64_t", /*default=*/"64",
           "Positions in a page; a multiple of 16">
  ];
  let dependentDialects = ["::mlir::dsv2::DSV2Dialect"];
}

def SelectWeightLayoutsPass
    : Pass<"dsv2-select-weight-layouts", "::mlir::ModuleOp"> {
  let summary = "Decide element type and order of every weight";
  let description = [{
    Puts a `dsv2.pack` between each weight and the op that uses it. Matrices of
    products become panels of `panel-width` rows, gate and up of a feed-forward
    network are interleaved, `w_uk` of absorbed attention is transposed; the
    embedding table and norms stay row-major. With `dense` every weight stays
    row-major and apart from others: that is what the reference lowering reads.

    The element type follows the policy of docs/NumericPolicy.md: the first rule
    of the file `rules` whose glob matches the name of a weight, else defaults
    that depend on `format` and on the op that reads the weight. Refused: rules
    that match no weight, or decide on none; rules that split what shares its
    code (the layers of a stack, the experts) or its memory (gate and up); a
    format that the op's kernel cannot read.

    Enters: attention forms are decided. Leaves: every weight operand is the
    result of a `dsv2.pack`.
  }];
  let options = [
    Option<"format", "format", "std::string", /*default=*/"\"bf16\"",
           "How matrices are stored: f32, bf16, q8, q4 or, for GPUs, fp8">,
    Option<"rules", "rules", "std::string", /*default=*/"",
           "File of rules for single weights, each a glob and a format">,
    Option<"panelWidth", "panel-width", "int64_t", /*default=*/"32",
           "Rows of a weight in one panel">,
    Option<"dense", "dense", "bool", /*default=*/"false",
           "Leave every weight in row-major order">
  ];
  let statistics = [
    Statistic<"numPacked", "num-packed", "Number of weights given a layout">
  ];
  let dependentDialects = ["::mlir::dsv2::DSV2Dialect"];
}

def SpecializeEntriesPass
    : Pass<"dsv2-specialize-entries", "::mlir::ModuleOp"> {
  let summary = "Decide the attention form of each entry point";
  let description = [{
    Replaces `@step` by its instances. With `attention-form=auto` there are
    two, `@step_decode` in absorbed and `@step_prefill` in expanded form, and
    the module attribute `dsv2.prefill_min_tokens` says from how many tokens of
    one sequence on the latter is used: the count `L (N + V) / (2 L - N - V)`
    above which expanding the latents once costs less than the longer products
    of the absorbed form (512, 128, 128: 171). Where the absorbed form never
    costs more, and with `deterministic`, there is only `@step_decode`, so that
    a result cannot depend on the entry a batch happened to use. A given form is
    used for everything, as is one that all attention has already.
  }];
  let options = [
    Option<"attentionForm", "attention-form", "std::string",
           /*default=*/"\"auto\"", "auto, expanded or absorbed">,
    Option<"deterministic", "deterministic", "bool", /*default=*/"false",
           "One form for every step">,
    Option<"prefillMinTokens", "prefill-min-tokens", "int64_t",
           /*default=*/"0", "Overrides the computed crossover; 0 computes it">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect",
                           "::mlir::dsv2::DSV2Dialect"];
}

#endif // DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_TD
