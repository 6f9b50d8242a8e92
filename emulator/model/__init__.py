"""Models with analog layers: conversion, optimizer, weights, programming."""
