"""The torch layer: the residual-quantized autoencoder and its parts as modules."""

from sklearn_rqvae.nn._convert import convert_checkpoint
from sklearn_rqvae.nn._decoder import Decoder
from sklearn_rqvae.nn._encoder import Encoder
from sklearn_rqvae.nn._interactions import PairInteractions
from sklearn_rqvae.nn._modes import QuantizeForwardMode
from sklearn_rqvae.nn._residual_quantizer import Quantization, ResidualQuantizer
from sklearn_rqvae.nn._rqvae import RqVae, RqVaeOutput

__all__ = [
    "Decoder",
    "Encoder",
    "PairInteractions",
    "Quantization",
    "QuantizeForwardMode",
    "ResidualQuantizer",
    "RqVae",
    "RqVaeOutput",
    "convert_checkpoint",
]
