//===- IgnoredKeys.cpp - keys without influence on the logits -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigMessages.h"
#include "ConfigReader.h"

#include "llvm/ADT/Twine.h"

using namespace dsv2;
using namespace llvm;

namespace {
struct KnownIgnoredKey {
  StringLiteral key;
  IgnoredReason reason;
};
} // namespace

/// Keys that files of this family carry, or that the common base class of the
/// published readers writes, and that do not change the logits.
static constexpr KnownIgnoredKey knownIgnoredKeys[] = {
    {"_commit_hash", IgnoredReason::Provenance},
    {"_name_or_path", IgnoredReason::Provenance},
    {"auto_map", IgnoredReason::Provenance},
    {"model_name", IgnoredReason::Provenance},
    {"name_or_path", IgnoredReason::Provenance},
    {"transformers_version", IgnoredReason::Provenance},

    {"attention_dropout", IgnoredReason::TrainingOnly},
    {"aux_loss_alpha", IgnoredReason::TrainingOnly},
    {"gradient_checkpointing", IgnoredReason::TrainingOnly},
    {"initializer_range", IgnoredReason::TrainingOnly},
    {"router_aux_loss_coef", IgnoredReason::TrainingOnly},
    {"seq_aux", IgnoredReason::TrainingOnly},

    {"_attn_implementation", IgnoredReason::RuntimeSwitch},
    {"_attn_implementation_autoset", IgnoredReason::RuntimeSwitch},
    {"attn_implementation", IgnoredReason::RuntimeSwitch},
    {"chunk_size_feed_forward", IgnoredReason::RuntimeSwitch},
    {"ep_size", IgnoredReason::RuntimeSwitch},
    {"output_attentions", IgnoredReason::RuntimeSwitch},
    {"output_hidden_states", IgnoredReason::RuntimeSwitch},
    {"output_router_logits", IgnoredReason::RuntimeSwitch},
    // Published readers with a value above 1 split the same matrix products;
    // the results agree up to rounding.
    {"pretraining_tp", IgnoredReason::RuntimeSwitch},
    {"return_dict", IgnoredReason::RuntimeSwitch},
    {"tf_legacy_loss", IgnoredReason::RuntimeSwitch},
    {"torchscript", IgnoredReason::RuntimeSwitch},
    {"use_bfloat16", IgnoredReason::RuntimeSwitch},
    {"use_cache", IgnoredReason::RuntimeSwitch},

    {"bad_words_ids", IgnoredReason::GenerationDefault},
    {"begin_suppress_tokens", IgnoredReason::GenerationDefault},
    {"diversity_penalty", IgnoredReason::GenerationDefault},
    {"do_sample", IgnoredReason::GenerationDefault},
    {"early_stopping", IgnoredReason::GenerationDefault},
    {"encoder_no_repeat_ngram_size", IgnoredReason::GenerationDefault},
    {"exponential_decay_length_penalty", IgnoredReason::GenerationDefault},
    {"forced_bos_token_id", IgnoredReason::GenerationDefault},
    {"forced_eos_token_id", IgnoredReason::GenerationDefault},
    {"length_penalty", IgnoredReason::GenerationDefault},
    {"max_length", IgnoredReason::GenerationDefault},
    {"min_length", IgnoredReason::GenerationDefault},
    {"no_repeat_ngram_size", IgnoredReason::GenerationDefault},
    {"num_beam_groups", IgnoredReason::GenerationDefault},
    {"num_beams", IgnoredReason::GenerationDefault},
    {"num_return_sequences", IgnoredReason::GenerationDefault},
    {"output_scores", IgnoredReason::GenerationDefault},
    {"remove_invalid_values", IgnoredReason::GenerationDefault},
    {"repetition_penalty", IgnoredReason::GenerationDefault},
    {"return_dict_in_generate", IgnoredReason::GenerationDefault},
    {"suppress_tokens", IgnoredReason::GenerationDefault},
    {"temperature", IgnoredReason::GenerationDefault},
    {"top_k", IgnoredReason::GenerationDefault},
    {"top_p", IgnoredReason::GenerationDefault},
    {"typical_p", IgnoredReason::GenerationDefault},

    {"prefix", IgnoredReason::Tokenizer},
    {"sep_token_id", IgnoredReason::Tokenizer},
    {"tokenizer_class", IgnoredReason::Tokenizer},

    {"add_cross_attention", IgnoredReason::NotUsedByArchitecture},
    {"cross_attention_hidden_size", IgnoredReason::NotUsedByArchitecture},
    {"decoder_start_token_id", IgnoredReason::NotUsedByArchitecture},
    {"is_decoder", IgnoredReason::NotUsedByArchitecture},
    {"is_encoder_decoder", IgnoredReason::NotUsedByArchitecture},
    // Every head has its own key and value, made from the shared latent.
    {"num_key_value_heads", IgnoredReason::NotUsedByArchitecture},
    {"pruned_heads", IgnoredReason::NotUsedByArchitecture},
    {"tie_encoder_decoder", IgnoredReason::NotUsedByArchitecture},

    {"head_dim", IgnoredReason::Derived},
    {"qk_head_dim", IgnoredReason::Derived},

    {"finetuning_task", IgnoredReason::TaskHead},
    {"id2label", IgnoredReason::TaskHead},
    {"label2id", IgnoredReason::TaskHead},
    {"num_labels", IgnoredReason::TaskHead},
    {"problem_type", IgnoredReason::TaskHead},
    {"task_specific_params", IgnoredReason::TaskHead},
};

void ConfigReader::recordIgnored() {
  // A derived width that contradicts its source hints at a file for other code.
  auto checkDerived = [&](StringRef key, int64_t expected) {
    const json::Value *value = root.find(key);
    if (!value)
      return;
    if (value->getAsInteger() != expected)
      warn("expected " + quote(key) + " to be " + Twine(expected) +
           " or absent, got " + describe(*value) + "; it is ignored");
    ignore(key.str(), IgnoredReason::Derived);
  };
  checkDerived("head_dim", config.qkRopeHeadDim);
  checkDerived("qk_head_dim", config.qkHeadDim());

  constexpr size_t maxWarnings = 20;
  size_t numUnknown = 0;
  for (const std::string &key : root.unseenKeys()) {
    const KnownIgnoredKey *known =
        find_if(knownIgnoredKeys,
                [&](const KnownIgnoredKey &entry) { return entry.key == key; });
    if (known != std::end(knownIgnoredKeys)) {
      ignore(key, known->reason);
      continue;
    }
    ignore(key, IgnoredReason::Unknown);
    if (++numUnknown <= maxWarnings)
      warn("key " + quote(key) + " is unknown and ignored");
  }
  if (numUnknown > maxWarnings)
    warn(Twine(numUnknown - maxWarnings) + " more unknown keys are ignored");
}
