"""Tiny random models of Hugging Face's families, from configurations alone, and what each is asked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Family:
    """A family: its kind, the class of the model, its configuration's class and fields, its inputs.

    ``past`` are layers whose weights the model reads past them, so that they must stay digital.
    """

    kind: str
    model: str
    config: str
    fields: dict[str, Any]
    inputs: Callable[[], Inputs]
    past: tuple[str, ...] = ()

    def made(self, transformers: Any) -> tuple[nn.Module, Inputs]:
        """A model and its inputs after torch's seed 0; nothing drops out."""
        torch.manual_seed(0)
        config = getattr(transformers, self.config)(**self.fields)
        return getattr(transformers, self.model)(config), self.inputs()


def tokens() -> Inputs:
    return {"input_ids": torch.randint(3, 50, (2, 7))}


def seq2seq() -> Inputs:
    return {**tokens(), "decoder_input_ids": torch.randint(3, 50, (2, 5))}


def image(size: int = 32) -> Callable[[], Inputs]:
    return lambda: {"pixel_values": torch.randn(2, 3, size, size)}


def sound() -> Inputs:
    return {"input_values": torch.randn(2, 800)}


def spectrum() -> Inputs:
    return {"input_features": torch.randn(2, 8, 40), "decoder_input_ids": torch.randint(3, 50, (2, 5))}


def captioned() -> Inputs:
    return {**tokens(), **image()()}


WIDE = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
BERT = {**WIDE, "num_hidden_layers": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LLAMA = {
    **WIDE, "num_hidden_layers": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
    "attention_dropout": 0.0, "tie_word_embeddings": False, "pad_token_id": 0, "head_dim": 8,
}  # fmt: skip
VIT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
BART = {
    "vocab_size": 50, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "dropout": 0.0,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "max_position_embeddings": 32,
}  # fmt: skip
SPEECH = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8),
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "hidden_dropout": 0.0,
    "attention_dropout": 0.0, "feat_proj_dropout": 0.0, "activation_dropout": 0.0, "layerdrop": 0.0,
    "mask_time_prob": 0.0, "apply_spec_augment": False,
}  # fmt: skip
CLIP_TEXT = {**WIDE, "num_hidden_layers": 2, "max_position_embeddings": 16, "attention_dropout": 0.0}
CLIP_IMAGE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8, "attention_dropout": 0.0,
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "BERT": Family("encoder", "BertModel", "BertConfig", BERT, tokens),
    "RoBERTa": Family("encoder", "RobertaModel", "RobertaConfig", BERT, tokens),
    "ELECTRA": Family("encoder", "ElectraModel", "ElectraConfig", {**BERT, "embedding_size": 8}, tokens),
    "ALBERT": Family("encoder", "AlbertModel", "AlbertConfig", {**BERT, "embedding_size": 8}, tokens),
    "DistilBERT": Family(
        "encoder", "DistilBertModel", "DistilBertConfig",
        {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "dropout": 0.0,
         "attention_dropout": 0.0}, tokens,
    ),
    "DeBERTa-v2": Family(
        "encoder", "DebertaV2Model", "DebertaV2Config",
        {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4}, tokens,
    ),
    "GPT-2": Family(
        "decoder", "GPT2LMHeadModel", "GPT2Config",
        {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "resid_pdrop": 0.0,
         "embd_pdrop": 0.0, "attn_pdrop": 0.0, "tie_word_embeddings": False}, tokens,
    ),
    "Llama": Family("decoder", "LlamaForCausalLM", "LlamaConfig", LLAMA, tokens),
    "Mistral": Family("decoder", "MistralForCausalLM", "MistralConfig", LLAMA, tokens),
    "Qwen3": Family("decoder", "Qwen3ForCausalLM", "Qwen3Config", LLAMA, tokens),
    "Gemma 2": Family("decoder", "Gemma2ForCausalLM", "Gemma2Config", LLAMA, tokens),
    "OPT": Family(
        "decoder", "OPTForCausalLM", "OPTConfig",
        {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32,
         "word_embed_proj_dim": 8, "dropout": 0.0, "attention_dropout": 0.0, "max_position_embeddings": 32,
         "tie_word_embeddings": False, "pad_token_id": 1}, tokens,
    ),
    "GPT-NeoX": Family(
        "decoder", "GPTNeoXForCausalLM", "GPTNeoXConfig",
        {**WIDE, "num_hidden_layers": 2, "hidden_dropout": 0.0, "attention_dropout": 0.0,
         "tie_word_embeddings": False}, tokens,
    ),
    "BLOOM": Family(
        "decoder", "BloomForCausalLM", "BloomConfig",
        {"vocab_size": 50, "hidden_size": 16, "n_layer": 2, "n_head": 2, "hidden_dropout": 0.0,
         "attention_dropout": 0.0, "tie_word_embeddings": False}, tokens,
    ),
    "T5": Family(
        "encoder-decoder", "T5Model", "T5Config",
        {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
         "dropout_rate": 0.0}, seq2seq,
    ),
    "BART": Family("encoder-decoder", "BartModel", "BartConfig", BART, seq2seq),
    "Marian": Family("encoder-decoder", "MarianModel", "MarianConfig", {**BART, "pad_token_id": 0}, seq2seq),
    "Pegasus": Family("encoder-decoder", "PegasusModel", "PegasusConfig", BART, seq2seq),
    "ViT": Family("vision", "ViTModel", "ViTConfig", VIT, image()),
    "DINOv2": Family("vision", "Dinov2Model", "Dinov2Config", {**VIT, "mlp_ratio": 2}, image()),
    "Swin": Family(
        "vision", "SwinModel", "SwinConfig",
        {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
         "window_size": 4, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
         "drop_path_rate": 0.0}, image(),
    ),
    "ConvNeXt": Family(
        "vision", "ConvNextModel", "ConvNextConfig",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "drop_path_rate": 0.0}, image(),
    ),
    "ResNet": Family(
        "vision", "ResNetModel", "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}, image(),
    ),
    "SegFormer": Family(
        "vision", "SegformerModel", "SegformerConfig",
        {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16],
         "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2],
         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "drop_path_rate": 0.0}, image(),
    ),
    "wav2vec 2.0": Family(
        "speech", "Wav2Vec2Model", "Wav2Vec2Config", {**SPEECH, "num_feat_extract_layers": 2}, sound
    ),
    "HuBERT": Family("speech", "HubertModel", "HubertConfig", SPEECH, sound),
    "Whisper": Family(
        "speech", "WhisperModel", "WhisperConfig",
        {**BART, "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 16,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}, spectrum,
    ),
    "Mamba": Family(
        "state space", "MambaForCausalLM", "MambaConfig",
        {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 2,
         "tie_word_embeddings": False}, tokens, ("dt_proj", "conv1d"),
    ),
    "Mamba 2": Family(
        "state space", "Mamba2ForCausalLM", "Mamba2Config",
        {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "num_heads": 4,
         "head_dim": 8, "n_groups": 1, "chunk_size": 8, "tie_word_embeddings": False}, tokens, ("conv1d",),
    ),
    "Mixtral": Family(
        "mixture", "MixtralForCausalLM", "MixtralConfig", {**LLAMA, "num_local_experts": 4}, tokens
    ),
    "Qwen3-MoE": Family(
        "mixture", "Qwen3MoeForCausalLM", "Qwen3MoeConfig",
        {**LLAMA, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12}, tokens,
    ),
    "GPT-OSS": Family(
        "mixture", "GptOssForCausalLM", "GptOssConfig",
        {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}, tokens,
    ),
    "Llama 4": Family(
        "mixture", "Llama4ForCausalLM", "Llama4TextConfig",
        {**LLAMA, "intermediate_size_mlp": 32, "num_local_experts": 4, "attn_implementation": "eager"},
        tokens,
    ),
    "CLIP": Family(
        "multimodal", "CLIPModel", "CLIPConfig",
        {"text_config": CLIP_TEXT, "vision_config": CLIP_IMAGE, "projection_dim": 8}, captioned,
    ),
    "SigLIP": Family(
        "multimodal", "SiglipModel", "SiglipConfig", {"text_config": CLIP_TEXT, "vision_config": CLIP_IMAGE},
        captioned,
    ),
    "ViLT": Family("multimodal", "ViltModel", "ViltConfig", {**BERT, **VIT}, captioned),
}  # fmt: skip

#: one of each structure, asked on every change; all of them in the slow suite
ALWAYS = ("BERT", "GPT-2", "T5", "ResNet", "Mamba", "Mixtral")
