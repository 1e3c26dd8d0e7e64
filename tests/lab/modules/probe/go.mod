module kubeharden.invalid/lab/probe

go 1.24
