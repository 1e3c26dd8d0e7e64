module kubeharden.invalid/verifier

go 1.22
