"""Tiny random networks of other hyper-parameters than those of the reference encoders: configuration,
weights, and what PyTorch computes of them.

    python make.py [FOLDER [NAME ...]]

writes one folder per network beside this script (or into FOLDER): `config.json`, `model.safetensors`,
`1_Pooling/config.json`, and `golden.json` with token ids, pooled and normalised embeddings of each text
alone (float32), and per tensor the gradient of the sum of all squared token states (float64): its norm,
then its first values. Needs torch and transformers 5.24.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    DebertaV2Config, ElectraConfig, EuroBertConfig, Gemma3TextConfig, GteConfig, LlamaConfig, NomicBertConfig,
)

HERE = Path(__file__).resolve().parent
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
SIZES = dict(vocab_size=48, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
             num_attention_heads=4, max_position_embeddings=40, pad_token_id=0)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 16}


def texts():
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(1, 48, (n,), generator=generator).tolist() for n in (1, 2, 5, 9, 16, 23)]


def as_is(tensors):
    return dict(tensors)


def nomic(tensors):
    """The names of the model's own code."""
    names = [("embeddings.LayerNorm", "emb_ln"), ("layers.", "encoder.layers."), ("self_attn.o_proj", "attn.out_proj"),
             ("up_proj", "fc11"), ("gate_proj", "fc12"), ("down_proj", "fc2"),
             ("post_attention_layernorm", "norm1"), ("post_mlp_layernorm", "norm2")]
    return joined(tensors, names, "attn.Wqkv", ("q_proj", "k_proj", "v_proj"), "self_attn")


def gte(tensors):
    return joined(gte_unpacked(tensors), [], "attention.qkv_proj", ("q_proj", "k_proj", "v_proj"), "attention")


def gte_unpacked(tensors):
    names = [("layers.", "encoder.layer."), ("self_attn.", "attention."),
             ("post_attention_layernorm", "attn_ln"), ("post_mlp_layernorm", "mlp_ln")]
    return joined(tensors, names, "mlp.up_gate_proj", ("up_proj", "gate_proj"), "mlp")


def joined(tensors, names, whole, parts, module):
    out = {}
    for name, tensor in tensors.items():
        for part in parts[1:]:
            if f"{module}.{part}." in name:
                break
        else:
            if f"{module}.{parts[0]}." in name:
                tensor = torch.cat([tensors[name.replace(parts[0], part)] for part in parts])
                name = name.replace(f"{module}.{parts[0]}", whole)
            for old, new in names:
                if not (old == "layers." and "encoder." in name):
                    name = name.replace(old, new)
            out[name] = tensor
    return out


def ntk(network, theta, factor):
    """The fixed NTK-aware scaling of the own code of `new` (https://kexue.fm/archives/9706)."""
    rotary = network.rotary_emb
    width = 2 * rotary.inv_freq.numel()
    inverse = 1.0 / ((theta * factor) ** (torch.arange(0, width, 2).float() / width))
    rotary.inv_freq.copy_(inverse / factor ** (2 / width))


def with_biases(network):
    """Biases, which the own code of Nomic BERT can have and transformers has not."""
    for layer in network.layers:
        for module, names in ((layer.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
                              (layer.mlp, ("up_proj", "gate_proj", "down_proj"))):
            for name in names:
                old = getattr(module, name)
                setattr(module, name, torch.nn.Linear(old.in_features, old.out_features, bias=True))


def networks():
    """Name, configuration, changes of `config.json`, names of tensors, pooling, what is done to the network."""
    nothing = lambda network: None
    yield "electra-narrow", ElectraConfig(
        embedding_size=8, type_vocab_size=3, hidden_act="gelu_new", layer_norm_eps=1e-5, **SIZES), {}, as_is, "cls", nothing
    yield "electra-wide", ElectraConfig(embedding_size=20, hidden_act="relu", **SIZES), {}, as_is, "mean", nothing
    yield "llama-biases", LlamaConfig(
        attention_bias=True, mlp_bias=True, head_dim=6, num_key_value_heads=1, rope_parameters=LLAMA3, rms_norm_eps=1e-4,
        **SIZES), {}, as_is, "lasttoken", nothing
    yield "llama-bidirectional", LlamaConfig(
        is_causal=False, hidden_act="gelu", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0},
        **SIZES), {"num_key_value_heads": None}, as_is, "mean", nothing
    yield "kanana2vec", LlamaConfig(is_causal=False, num_key_value_heads=2, **SIZES), {
        "model_type": "kanana2vec", "is_causal": None, "architectures": ["Kanana2VecModel"], "rope_parameters": None,
        "rope_theta": 10000.0, "rope_scaling": None,
        "auto_map": {"AutoConfig": "configuration_kanana2vec.Kanana2VecConfig", "AutoModel": "modeling_kanana2vec.Kanana2VecModel"},
    }, lambda tensors: {f"model.{name}": t for name, t in tensors.items()}, "mean", nothing
    yield "llama-bidirec", LlamaConfig(is_causal=False, num_key_value_heads=2, **SIZES), {
        "model_type": "llama_bidirec", "is_causal": None, "architectures": ["LlamaBidirectionalModel"], "pooling": "avg",
        "auto_map": {"AutoConfig": "llama_bidirectional_model.LlamaBidirectionalConfig",
                     "AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel"},
    }, as_is, "mean", nothing
    gemma = {**SIZES, "num_hidden_layers": 3}
    yield "gemma3-causal", Gemma3TextConfig(
        head_dim=6, num_key_value_heads=2, query_pre_attn_scalar=10, attention_bias=True, sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}, **gemma), {}, as_is, "lasttoken", nothing
    yield "gemma3-window", Gemma3TextConfig(
        head_dim=4, num_key_value_heads=1, query_pre_attn_scalar=4, sliding_window=7, use_bidirectional_attention=True,
        sliding_window_pattern=2, **gemma), {
            "sliding_window": 7, "layer_types": None, "sliding_window_pattern": 2, "_sliding_window_pattern": None,
            "rope_parameters": None, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rope_scaling": None,
        }, as_is, "mean", nothing
    yield "eurobert-biases", EuroBertConfig(
        attention_bias=True, mlp_bias=True, head_dim=6, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 250.0},
        **SIZES), {}, as_is, "mean", nothing
    yield "nomic-head", NomicBertConfig(head_dim=6, hidden_act="gelu", type_vocab_size=1, **SIZES), {}, nomic, "mean", nothing
    own = dict(model_type="nomic_bert", n_embd=16, n_inner=24, n_layer=2, n_head=4, n_positions=40, vocab_size=48, type_vocab_size=2,
               layer_norm_epsilon=1e-5, rotary_emb_fraction=1.0, rotary_emb_base=700, rotary_emb_interleaved=False, rotary_emb_scale_base=None,
               rotary_scaling_factor=None, prenorm=False, causal=False, pad_token_id=0)
    theta = {"rope_type": "default", "rope_theta": 700.0}
    yield "nomic-own", NomicBertConfig(layer_norm_eps=1e-5, rope_parameters=theta, **SIZES), ("own", {
        **own, "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False}), nomic, "cls", nothing
    yield "nomic-biases", NomicBertConfig(layer_norm_eps=1e-5, hidden_act="gelu", rope_parameters=theta, **SIZES), ("own", {
        **own, "activation_function": "geglu", "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True}), nomic, "mean", with_biases
    yield "gte-yarn", GteConfig(
        hidden_act="gelu_new", type_vocab_size=2, rope_parameters={"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0,
                                                                    "original_max_position_embeddings": 10},
        **SIZES), {}, gte, "mean", nothing
    new = dict(model_type="new", rope_parameters=None, rope_theta=200.0, rope_scaling={"type": "ntk", "factor": 8.0},
               position_embedding_type="rope", layer_norm_type="layer_norm", logn_attention_scale=False, logn_attention_clip1=False,
               auto_map={"AutoConfig": "org/new-impl--configuration.NewConfig", "AutoModel": "org/new-impl--modeling.NewModel"})
    yield "new-ntk", GteConfig(type_vocab_size=0, **SIZES), {**new, "pack_qkv": True}, gte, "cls", lambda n: ntk(n, 200.0, 8.0)
    yield "new-unpacked", GteConfig(type_vocab_size=1, **SIZES), {**new, "pack_qkv": False, "rope_scaling": None}, (
        lambda tensors: {f"new.{name}": t for name, t in gte_unpacked(tensors).items()}), "mean", lambda n: ntk(n, 200.0, 1.0)


    relative = dict(relative_attention=True, share_att_key=True, layer_norm_eps=1e-7, max_relative_positions=-1)
    yield "deberta-queries", DebertaV2Config(
        **{**SIZES, **relative, "max_relative_positions": 12}, pos_att_type="c2p", position_buckets=-1, norm_rel_ebd="none",
        position_biased_input=True, type_vocab_size=2), {}, as_is, "cls", nothing
    yield "deberta-buckets", DebertaV2Config(
        **SIZES, **relative, pos_att_type=["p2c", "c2p"], position_buckets=6, norm_rel_ebd="layer_norm", position_biased_input=False,
        type_vocab_size=0), {}, as_is, "mean", nothing


def randomise(network):
    """Weights far enough from their initial values that every part shows in the result."""
    generator = torch.Generator().manual_seed(7)
    above = 0.0 if network.config.model_type == "gemma3_text" else 1.0
    for name, parameter in sorted(network.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm = "norm" in name.lower() and name.endswith("weight")
        with torch.no_grad():
            parameter.copy_(above + 0.2 * noise if is_norm else 0.3 * noise)


def pooled(states, mode):
    state = {"mean": states.mean(1), "cls": states[:, 0], "lasttoken": states[:, -1]}[mode]
    return [float(f"{v:.9g}") for v in torch.nn.functional.normalize(state)[0].tolist()]


def main():
    for name, config, changes, rename, pooling, prepare in networks():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        config._attn_implementation = "eager"
        network = transformers.AutoModel.from_config(config).eval()
        prepare(network)
        randomise(network)
        ids = texts()
        with torch.no_grad():
            embeddings = [pooled(network(input_ids=torch.tensor([t])).last_hidden_state, pooling) for t in ids]
        folder = OUT / name
        (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
        tensors = rename({n: p.detach().clone() for n, p in network.named_parameters()})
        save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
        if isinstance(changes, tuple):
            written = changes[1]
        else:
            written = {**config.to_dict(), **changes}
        for key in ("_attn_implementation", "dtype", "id2label", "label2id", "transformers_version"):
            written.pop(key, None)
        (folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": pooling, "embedding_dimension": 16}))
        network = network.double()
        loss = sum(network(input_ids=torch.tensor([t])).last_hidden_state.square().sum() for t in ids)
        loss.backward()
        gradients = rename({n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in network.named_parameters()})
        golden = {
            "made_with": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]},
            "note": "embeddings: float32, one text per forward pass; gradients: float64, of the sum of squared states: norm, first values",
            "token_ids": ids,
            "embeddings": embeddings,
            "gradients": {n: [float(f"{v:.12g}") for v in [g.norm().item(), *g.flatten()[:6].tolist()]] for n, g in gradients.items()},
        }
        (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        print(name, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()))


main()
